// SPDX-License-Identifier: Apache-2.0
// Short pages for the terminal, beside the help of commands and the descriptions of keys.
#include "topics.hpp"

#include <array>
#include <vector>

#include <CLI/CLI.hpp>

#include "trireme/core/error.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme {

namespace {

struct Topic {
  const char* name;
  const char* summary;
  const char* text;
};

constexpr std::array<Topic, 7> kTopics{{
    {"first-run", "from a text to a trained model and its plots",
     R"text(
Make tokens of a text:

  trireme prepare --input book.txt --output data/book.h5 --document-separator '\n\n'

Look at the resolved deck and the model's tensors:

  trireme train inputs/gcide.yml --set data_path=data/book.h5 --check

Train on two ranks:

  mpirun -np 2 trireme train inputs/gcide.yml --set data_path=data/book.h5 \
    --set save=runs/book --set load=runs/book

Plot what the run has measured:

  trireme-plot loss runs/book
  trireme-plot report runs/book

The command `touch runs/book/stop` ends a run with a checkpoint. The repeated mpirun line
continues the run. The command `trireme inspect runs/book` shows the last checkpoint.
)text"},
    {"decks", "files, --set, and where keys are described",
     R"text(
A deck is YAML or JSON with the keys of GPT-NeoX and DeepSpeed. Several decks merge from
left to right, and --set key=value comes last. Dots enter dictionaries:

  trireme train base.yml large.yml --set optimizer.params.lr=1e-3 --set train_iters=200

The value null resets a key to its default. An unknown key is an error that names similar
keys. The command `trireme help lr` describes the keys about lr. The option --help-keys of
train describes all keys.
)text"},
    {"data", "token files and splits",
     R"text(
The command `trireme prepare` turns plain text or JSON lines into a token file. The key
data_path names that file. Inputs are files, folders, patterns or standard input, packed or
not. The option --document-separator says where a document of plain text ends. The option
--tokenizer names a tokenizer's file or folder: without one, bytes are tokens. The command
`trireme tokenize` shows what a tokenizer makes of a text.

These keys also take PREFIX of Megatron's PREFIX.bin and PREFIX.idx, and shards of llm.c,
where they lie. The command `trireme convert data FROM TO` changes the format.

The key split gives shares of the documents to train, valid and test, such as "97, 2, 1".
A part that the key names needs at least a batch of tokens, unless its share is no document.
Without the key, the shares are 969, 30 and 1 of 1000. A warning says which part is left out
for want of data.
)text"},
    {"layout", "data, tensor and pipeline parallel ranks",
     R"text(
The ranks of mpirun or srun form a mesh dp × tp × pp.

  tp   model_parallel_size: ranks that share each matrix, best within a node

  pp   pipe_parallel_size: stages of consecutive layers

  dp   the remaining ranks / (tp × pp), each with samples of its own

The batch is train_micro_batch_size_per_gpu × gradient_accumulation_steps × dp samples.
The layout does not change the losses, and a checkpoint loads on any layout. The command
`trireme plan DECK --ranks N` shows what a layout needs.
)text"},
    {"memory", "what takes a device's memory, and what helps",
     R"text(
This command says whether a rank fits its GPU, and what takes the memory:

  trireme plan DECK --ranks N --device-memory 80GiB

These keys help against the largest part.

  activations   checkpoint_activations, recompute_granularity: selective,
                sequence_parallel, a smaller train_micro_batch_size_per_gpu

  optimizer     zero_optimization: {stage: 1}, more ranks of dp

  gradients     zero_optimization: {stage: 1}

  values        model_parallel_size, pipe_parallel_size, zero_optimization: {stage: 3}
)text"},
    {"resume", "stops, restarts and checkpoints",
     R"text(
A run with the key save writes checkpoints each checkpoint_factor iterations, at a stop
and at its end. With load: the same folder, the same command continues the run.

SIGTERM, SIGUSR1, the job's time limit and the file SAVE/stop end a run with a checkpoint
and exit code 75. The key keep_last_n_checkpoints bounds the disk. The key finetune takes
the weights of another run's checkpoint alone.
)text"},
    {"exit-codes", "what 0, 1 and 75 mean",
     R"text(
   0  The run is done, `inspect --diff` found no difference, or a rank fits.

   1  There is an error, which stderr names. A difference or a rank that does not fit
      gives 1 too.

  75  The run stopped before its last iteration and wrote a checkpoint.
)text"},
}};

std::string list_of(const CLI::App& program) {
  std::string text = "Topics of `trireme help TOPIC`:\n\n";
  for (const Topic& topic : kTopics) {
    text += fmt::format("  {:<12} {}\n", topic.name, topic.summary);
  }
  text += "\nCommands, each with its options:\n\n";
  for (const CLI::App* command :
       program.get_subcommands([](const CLI::App*) { return true; })) {
    text += fmt::format("  {:<12} {}\n", command->get_name(), command->get_description());
  }
  return text +
         "\nAny other word, such as lr or checkpoint, describes the deck keys about it.\n";
}

}  // namespace

std::string help_text(const CLI::App& program, const std::string& topic) {
  if (topic.empty()) return list_of(program);
  std::vector<std::string> names;
  for (const Topic& known : kTopics) {
    if (topic == known.name) {
      return std::string(known.text).substr(1);
    }  // without the first line end
    names.emplace_back(known.name);
  }
  for (const CLI::App* command :
       program.get_subcommands([](const CLI::App*) { return true; })) {
    if (topic == command->get_name()) return command->help();
    names.push_back(command->get_name());
  }
  std::string keys = describe_keys(topic);
  if (!keys.empty()) return keys;
  const std::string near = nearest_name(topic, names);
  throw Error(
      fmt::format("no topic, command or deck key is about '{}'{}; `trireme help` lists "
                  "the topics",
                  topic, near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

}  // namespace trireme
