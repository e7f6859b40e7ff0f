// SPDX-License-Identifier: Apache-2.0
// The sections of trireme(1) that no table knows, in roff's man macros.
#pragma once

namespace trireme {

inline constexpr const char* kLaunchSynopsis = R"roff(.B mpirun
\fB\-np\fR \fIN\fR \fBtrireme train\fR \fIDECK\fR ... [\fB\-\-set\fR \fIKEY=VALUE\fR] ...
.br
)roff";

inline constexpr const char* kDescription = R"roff(.SH DESCRIPTION
Trireme trains GPT\-NeoX\-style transformers the way HPC codes are run: as
.I N
equal ranks of one program, started by
.BR mpirun ,
.B srun
or any other launcher of the MPI library that it was built with.
The ranks form data\-, tensor\- and pipeline\-parallel groups.
Decks go in, HDF5 comes out.
.PP
Nothing is silently different from the deck: an unknown key is an error that names the
nearest known one, a key without meaning here is named in a warning, and what can't be done is
an error.
Any error on any rank ends all ranks, with one line on standard error.
)roff";

inline constexpr const char* kDecks = R"roff(.SH DECKS
A deck is YAML or JSON, with the keys of GPT\-NeoX and DeepSpeed.
Several decks merge from left to right, and
.B \-\-set
comes last.
A dot leads into a dictionary
.RB ( \-\-set
\fIoptimizer.params.lr=1e\-3\fR); \- and _ are the same in a key.
.B trireme train \-\-help\-keys
lists, after the keys below, those that mean nothing here and those that must be off.
)roff";

inline constexpr const char* kAround = R"roff(.SH ENVIRONMENT
.TP
.B OMP_NUM_THREADS
Threads of a rank, where the deck doesn't say
.BR threads_per_rank .
Else a rank takes its share of the processors that it may run on.
.TP
.B OPENBLAS_CORETYPE
The kernels that OpenBLAS uses.
If it isn't set and OpenBLAS doesn't know the processor, Trireme sets it and starts itself anew.
.TP
.B TRIREME_END_TIME
When the job ends, in seconds since 1970: the run saves and stops in time before.
It comes before
.B SLURM_JOB_END_TIME
(the same) and
.B PBS_WALLTIME
(seconds, or
.IR HH:MM:SS ,
from the start), which batch systems set.
.TP
.B CUDA_VISIBLE_DEVICES
The GPUs that a rank may use.
A rank takes the one of its number on its node.
.SH FILES
.TP
.I RUN/metrics.h5
What was measured, with the resolved deck; readable while the run goes on.
.I RUN
is the deck's key
.BR run_dir ,
by default
.BR save .
.TP
.I RUN/log.txt
What the program said, of all starts.
.TP
.I RUN/deck.yml
The resolved deck of the last start.
.TP
.I RUN/environment.txt
Versions, command, job, variables, hosts and machines of each start.
.TP
.I SAVE/latest
The name of the last whole checkpoint.
.TP
.I SAVE/global_stepN/checkpoint.h5
Each tensor of a checkpoint, whole, for any reader of HDF5; its bytes are in
.I shard\-RRRRR.h5
beside it.
.TP
.I SAVE/stop
A run that sees this file saves, removes it and ends with exit status 75.
.TP
.I share/trireme/inputs
Decks to begin with, below the folder that Trireme was installed in.
.TP
.I share/trireme/jobs
Scripts for batch systems, recipes for package managers.
.SH EXIT STATUS
.TP
.B 0
Done;
.B inspect \-\-diff
found no difference.
.TP
.B 1
An error in the input or in the run, told in one line on standard error; or
.B inspect \-\-diff
found a difference.
.TP
.B 75
Stopped before the last iteration, with a checkpoint written: on SIGTERM, SIGUSR1 or SIGUSR2,
before the job's time limit, at
.B exit_interval
or on
.IR SAVE/stop .
The same command, with
.B load
set to the same folder as
.BR save ,
goes on from there.
.SH EXAMPLES
Text to tokens, a run on four ranks, two of them sharing each matrix, and its loss as a picture:
.PP
.EX
trireme prepare \-\-input book.txt \-\-output book.h5
mpirun \-np 4 trireme train deck.yml \-\-set data_path=book.h5 \e
  \-\-set save=runs/book \-\-set model_parallel_size=2
trireme\-plot loss runs/book
.EE
.PP
The memory and the messages of a run of 1024 ranks, without the machine:
.PP
.EX
trireme plan deck.yml \-\-ranks 1024 \-\-set pipe_parallel_size=8
.EE
.PP
Whether two checkpoints are the same to the last bit:
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
