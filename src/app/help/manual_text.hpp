// SPDX-License-Identifier: Apache-2.0
// The fixed sections of trireme(1), in roff's man macros.
#pragma once

namespace trireme {

inline constexpr const char* kLaunchSynopsis = R"roff(.B mpirun
\fB\-np\fR \fIN\fR \fBtrireme train\fR \fIDECK\fR ... [\fB\-\-set\fR \fIKEY=VALUE\fR] ...
.br
)roff";

inline constexpr const char* kDescription = R"roff(.SH DESCRIPTION
Trireme trains GPT\-NeoX\-style transformers the way HPC codes run: as
.I N
equal ranks of one program.
The ranks start under
.BR mpirun ,
.B srun
or another launcher of the MPI library that the program was built with.
The ranks form data\-, tensor\- and pipeline\-parallel groups.
Decks go in, HDF5 comes out.
.PP
No run differs silently from its deck.
An unknown key is an error that names the nearest known key.
A warning names each key without meaning here.
A request that Trireme cannot honour is an error.
Any error on any rank ends all ranks, with one line on standard error.
)roff";

inline constexpr const char* kDecks = R"roff(.SH DECKS
A deck is YAML or JSON, with the keys of GPT\-NeoX and DeepSpeed.
Several decks merge from left to right, and
.B \-\-set
comes last.
Dots name keys inside dictionaries
.RB ( \-\-set
\fIoptimizer.params.lr=1e\-3\fR); \- and _ are equivalent in a key.
.B trireme train \-\-help\-keys
lists the keys below, the keys without effect here, and the keys that must be off.
)roff";

inline constexpr const char* kAround = R"roff(.SH ENVIRONMENT
.TP
.B OMP_NUM_THREADS
Threads of a rank, if the deck does not set
.BR threads_per_rank .
Without both, a rank takes its share of the processors that the rank may run on.
.TP
.B OPENBLAS_CORETYPE
The kernels that OpenBLAS uses.
Trireme sets the variable and restarts itself if OpenBLAS does not know the processor.
.TP
.B TRIREME_END_TIME
When the job ends, in seconds since 1970: the run saves and stops before that time.
The variable takes precedence over
.B SLURM_JOB_END_TIME
and
.BR PBS_WALLTIME ,
which batch systems set.
.B PBS_WALLTIME
counts seconds, or
.IR HH:MM:SS ,
from the start.
.TP
.B CUDA_VISIBLE_DEVICES
The GPUs that a rank may use.
A rank's number on its node selects the rank's GPU.
.TP
.B TRIREME_CUDA_TUNING
Constants of the GPU backend, such as
.IR gemm_candidates=32 ,
with commas between them.
All ranks need equal values; the start screen shows those that differ from the usual ones.
.SH FILES
.TP
.I RUN/metrics.h5
Measurements and the resolved deck; readable while the run goes on.
.I RUN
is the deck's key
.BR run_dir ,
by default
.BR save .
.TP
.I RUN/log.txt
Everything that the program printed, of all starts.
.TP
.I RUN/deck.yml
The resolved deck of the last start.
.TP
.I RUN/environment.txt
Versions, command, job, variables, hosts and machines of each start.
.TP
.I SAVE/latest
The name of the last complete checkpoint.
.TP
.I SAVE/global_stepN/checkpoint.h5
All tensors of a checkpoint, each as a whole, for any reader of HDF5.
Their bytes are in
.I shard\-RRRRR.h5
files in the same folder.
.TP
.I SAVE/stop
A run that sees this file saves, removes the file and ends with exit status 75.
.TP
.I share/trireme/inputs
Example decks, below the folder where Trireme was installed.
.TP
.I share/trireme/jobs
Scripts for batch systems, and recipes for package managers.
.SH EXIT STATUS
.TP
.B 0
Done;
.B inspect \-\-diff
found no difference,
.B verify
none beyond rounding, or
.B plan \-\-device\-memory
found that a rank fits.
.TP
.B 1
The input or the run has an error, which standard error names in one line;
.B inspect \-\-diff
or
.B verify
found a difference; or
.B plan \-\-device\-memory
found a rank that does not fit.
.TP
.B 75
Stopped before the last iteration, with a checkpoint written.
Causes are SIGTERM, SIGUSR1 or SIGUSR2, the job's time limit,
.B exit_interval
and
.IR SAVE/stop .
Repeat the command, with
.B load
set to the folder of
.BR save ,
to continue.
.SH EXAMPLES
Convert text to tokens, train on four ranks with two ranks to each matrix, and plot the loss:
.PP
.EX
trireme prepare \-\-input book.txt \-\-output book.h5
mpirun \-np 4 trireme train deck.yml \-\-set data_path=book.h5 \e
  \-\-set save=runs/book \-\-set model_parallel_size=2
trireme\-plot loss runs/book
.EE
.PP
The memory and the communication of a run of 1024 ranks, without the machine:
.PP
.EX
trireme plan deck.yml \-\-ranks 1024 \-\-set pipe_parallel_size=8
.EE
.PP
Whether four ranks compute what one rank computes:
.PP
.EX
mpirun \-np 4 trireme verify deck.yml \-\-set model_parallel_size=2
.EE
.PP
Whether two checkpoints are equal to the last bit:
.PP
.EX
trireme inspect runs/a/global_step100 \-\-diff runs/b/global_step100
.EE
.SH SEE ALSO
.BR trireme\-plot (1),
.BR mpirun (1),
.BR srun (1),
.BR h5dump (1)
)roff";

}  // namespace trireme
