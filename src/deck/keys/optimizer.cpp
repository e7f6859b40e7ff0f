// SPDX-License-Identifier: Apache-2.0
// Keys of the batch, the optimizer and the learning rate.
#include "trireme/optim/optimizer_table.hpp"

#include "tables.hpp"

namespace trireme::deck {
namespace {

/// GPT-NeoX's and DeepSpeed's optimizers that the table doesn't have.
constexpr std::string_view kOtherOptimizers[] = {"MuAdam", "MuAdamW", "MuSGD"};

/// "use AdamW or SGD".
std::string refusal_of_others() {
  const auto table = optimizer_table();
  std::string text;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (i > 0) text += i + 1 < table.size() ? ", " : " or ";
    text += table[i].name;
  }
  return "use " + text;
}

std::span<const Choice> optimizer_choices() {
  static const std::string refusal = refusal_of_others();
  static const std::vector<Choice> choices = [] {
    std::vector<Choice> list;
    for (const OptimizerRow& row : optimizer_table()) {
      list.push_back({row.name, code(row.kind)});
      for (const std::string_view alias : row.aliases) list.push_back({alias, code(row.kind)});
    }
    for (const std::string_view other : kOtherOptimizers) list.push_back({other, 0, refusal});
    return list;
  }();
  return choices;
}

constexpr Choice kDecays[] = {
    {"linear", code(DecayStyle::linear)},
    {"cosine", code(DecayStyle::cosine)},
    {"exponential", code(DecayStyle::exponential)},
    {"constant", code(DecayStyle::constant)},
};

const Key kBatchKeys[] = {
    {"train_batch_size", "", [](D d) -> Field { return &d.deck.train_batch_size; },
     "samples in a step over all ranks; null: derived from the next two keys", kSize,
     Need::open, Origin::deepspeed},
    {"train_micro_batch_size_per_gpu", "batch_size",
     [](D d) -> Field { return &d.deck.train_micro_batch_size_per_gpu; },
     "samples of a micro-batch, which a rank's layers process at once", kMillion, Need::open,
     Origin::deepspeed},
    {"gradient_accumulation_steps", "gas",
     [](D d) -> Field { return &d.deck.gradient_accumulation_steps; },
     "micro-batches in a step", kMillion, Need::open, Origin::deepspeed},
    {"rampup_batch_size", "", [](D d) -> Field { return &d.deck.rampup_batch_size; },
     "[start, increment, samples]: train_batch_size grows from start by increments, spread "
     "over so many samples; null: it doesn't",
     kFromOne, Need::open, Origin::megatron},
};

const Key kOptimizerKeys[] = {
    {"optimizer.type",
     "optimizer_type",
     [](D d) { return named(d.deck.optimizer.kind, optimizer_choices()); },
     "Adam is AdamW unless adam_w_mode is false, and cpu_torch_adam is Adam with that",
     {},
     Need::usual,
     Origin::deepspeed},
    {"optimizer.params.lr", "lr", [](D d) -> Field { return &d.deck.schedule.lr; },
     "highest learning rate", kNotNegative, Need::required, Origin::deepspeed},
    {"optimizer.params.betas", "", [](D d) -> Field { return &d.betas; },
     "decay rates of two moments; Lion's default is [0.9, 0.99], Muon's [0.9, 0.95]", kBelowOne,
     Need::usual, Origin::deepspeed},
    {"optimizer.params.eps", "", [](D d) -> Field { return &d.deck.optimizer.epsilon; },
     "added to a divisor; default of Adagrad and Muon: 1e-10, Adafactor: 1.2e-7, madgrad_wd: "
     "1e-6, SM3: 1e-30",
     kPositive, Need::usual, Origin::deepspeed},
    {"optimizer.params.bias_correction",
     "",
     [](D d) -> Field { return &d.deck.optimizer.bias_correction; },
     "Adam, AdamW and Lamb correct their moments for their start at zero",
     {},
     Need::usual,
     Origin::deepspeed},
    {"optimizer.params.adam_w_mode",
     "",
     [](D d) -> Field { return &d.deck.optimizer.adam_w_mode; },
     "false: type Adam adds the decay to the gradient, while AdamW never does",
     {},
     Need::usual,
     Origin::deepspeed},
    {"optimizer.params.min_8bit_size", "",
     [](D d) -> Field { return &d.deck.optimizer.min_8bit_size; },
     "use_bnb_optimizer: smaller parameters keep fp32 moments", kFromOne},
    {"optimizer.params.momentum", "", [](D d) -> Field { return &d.deck.optimizer.momentum; },
     "momentum of SGD, SM3, madgrad_wd (default 0.9) and Muon (0.95)", kBelowOne, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.dampening",
     "",
     [](D d) -> Field { return &d.deck.optimizer.dampening; },
     "SGD takes 1 − dampening of the gradient into its momentum after the first step",
     {},
     Need::usual,
     Origin::deepspeed},
    {"optimizer.params.nesterov",
     "",
     [](D d) -> Field { return &d.deck.optimizer.nesterov; },
     "Nesterov's momentum for SGD",
     {},
     Need::usual,
     Origin::deepspeed},
    {"optimizer.params.lr_decay", "", [](D d) -> Field { return &d.deck.optimizer.lr_decay; },
     "in Adagrad, step t has the rate lr / (1 + lr_decay (t - 1))", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.initial_accumulator_value", "",
     [](D d) -> Field { return &d.deck.optimizer.initial_accumulator_value; },
     "where Adagrad's sum of squares begins", kNotNegative, Need::usual, Origin::deepspeed},
    {"optimizer.params.max_coeff", "", [](D d) -> Field { return &d.deck.optimizer.max_coeff; },
     "largest trust ratio of Lamb, and of OneBitLamb's first phase", kPositive, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.min_coeff", "", [](D d) -> Field { return &d.deck.optimizer.min_coeff; },
     "least trust ratio of Lamb, and of OneBitLamb's first phase", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.freeze_step", "",
     [](D d) -> Field { return &d.deck.optimizer.freeze_step; },
     "OneBitAdam and OneBitLamb freeze the variance after so many updates, and average signs "
     "from there on",
     kFromOne, Need::usual, Origin::deepspeed},
    {"optimizer.params.var_freeze_step", "",
     [](D d) -> Field { return &d.deck.optimizer.var_freeze_step; },
     "ZeroOneAdam freezes the variance after so many updates, and takes local steps from there "
     "on",
     kFromOne, Need::usual, Origin::deepspeed},
    {"optimizer.params.var_update_scaler", "",
     [](D d) -> Field { return &d.deck.optimizer.var_update_scaler; },
     "the interval between ZeroOneAdam's updates of the variance doubles after so many of them",
     kFromOne, Need::usual, Origin::deepspeed},
    {"optimizer.params.local_step_scaler", "",
     [](D d) -> Field { return &d.deck.optimizer.local_step_scaler; },
     "the interval between means of ZeroOneAdam's local steps doubles after so many steps",
     kFromOne, Need::usual, Origin::deepspeed},
    {"optimizer.params.local_step_clipper", "",
     [](D d) -> Field { return &d.deck.optimizer.local_step_clipper; }, "largest such interval",
     kFromOne, Need::usual, Origin::deepspeed},
    {"optimizer.params.coeff_beta", "",
     [](D d) -> Field { return &d.deck.optimizer.coeff_beta; },
     "share of OneBitLamb's average trust ratio that an update keeps", kFraction, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.factor_max", "",
     [](D d) -> Field { return &d.deck.optimizer.factor_max; },
     "largest factor on OneBitLamb's frozen trust ratio", kPositive, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.factor_min", "",
     [](D d) -> Field { return &d.deck.optimizer.factor_min; },
     "least factor on OneBitLamb's frozen trust ratio", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.factor_threshold", "",
     [](D d) -> Field { return &d.deck.optimizer.factor_threshold; },
     "largest relative change of this factor in one update", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.eps2", "", [](D d) -> Field { return &d.deck.optimizer.epsilon2; },
     "Adafactor's least size of a parameter; PyTorch's eps is the pair [eps, eps2]", kPositive,
     Need::usual, Origin::trireme},
    {"optimizer.params.beta2_decay",
     "",
     [](D d) -> Field { return &d.deck.optimizer.beta2_decay; },
     "Adafactor gives the newest squares a weight of t^beta2_decay",
     {.high = 0},
     Need::usual,
     Origin::deepspeed},
    {"optimizer.params.d", "", [](D d) -> Field { return &d.deck.optimizer.clip_threshold; },
     "Adafactor's largest root mean square of an update", kFromOne, Need::usual,
     Origin::deepspeed},
    {"optimizer.params.beta", "", [](D d) -> Field { return &d.deck.optimizer.beta; },
     "SM3 averages squares with this decay rate; 0: adds them", kBelowOne},
    {"optimizer.params.muon_lr", "", [](D d) -> Field { return &d.deck.optimizer.muon_lr; },
     "Muon's lr of matrices in layers; 0: lr", kNotNegative, Need::usual, Origin::deepspeed},
    {"optimizer.params.adam_lr", "", [](D d) -> Field { return &d.deck.optimizer.adam_lr; },
     "Muon's lr of all other parameters, which AdamW updates; 0: lr", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"use_bnb_optimizer",
     "",
     [](D d) -> Field { return &d.deck.optimizer.eight_bit; },
     "AdamW keeps both moments in 8 bits, in blocks of 256 elements, as bitsandbytes does; "
     "CPUs "
     "alone",
     {},
     Need::usual},
    {"weight_decay", "optimizer.params.weight_decay",
     [](D d) -> Field { return &d.deck.optimizer.weight_decay; },
     "decay of weights except biases and norms; added to the gradient with Adam, SGD and "
     "Adagrad, decoupled with others, and none with SM3",
     kNotNegative, Need::usual, Origin::megatron},
    {"gradient_clipping", "clip_grad",
     [](D d) -> Field { return &d.deck.optimizer.gradient_clipping; },
     "largest global norm of the gradient; 0: no clipping", kNotNegative, Need::usual,
     Origin::deepspeed},
    {"skip_step.rolling_interval_length",
     "",
     [](D d) -> Field { return &d.deck.optimizer.rolling_interval_length; },
     "steps that tell what loss and norm are usual (128 in OLMo); 0: no step is skipped",
     {.low = 0, .high = 10'000},
     Need::usual,
     Origin::trireme},
    {"skip_step.sigma_factor", "", [](D d) -> Field { return &d.deck.optimizer.sigma_factor; },
     "a step is skipped if its loss or norm is so many standard deviations above the mean",
     kPositive, Need::usual, Origin::trireme},
    {"ema.enable",
     "",
     [](D d) -> Field { return &d.deck.ema.enabled; },
     "keep an exponential moving average of the weights, in checkpoints and for evaluations",
     {},
     Need::usual,
     Origin::trireme},
    {"ema.decay", "", [](D d) -> Field { return &d.deck.ema.decay; },
     "share of the average that an iteration keeps", kFraction, Need::usual, Origin::trireme},
    {"ema.every_n_steps", "", [](D d) -> Field { return &d.deck.ema.every_n_steps; },
     "the average takes in the weights at multiples of these iterations", kFromOne, Need::usual,
     Origin::trireme},
    {"ema.validate_original_weights",
     "",
     [](D d) -> Field { return &d.deck.ema.validate_original; },
     "evaluate the weights, and not their average",
     {},
     Need::usual,
     Origin::trireme},
    {"min_lr", "", [](D d) -> Field { return &d.deck.schedule.min_lr; }, "lowest learning rate",
     kNotNegative, Need::usual, Origin::megatron},
    {"warmup", "", [](D d) -> Field { return &d.deck.schedule.warmup; },
     "share of lr_decay_iters or lr_decay_samples in which the learning rate rises", kFraction},
    {"lr_decay_style",
     "",
     [](D d) { return named(d.deck.schedule.lr_decay_style, kDecays); },
     "how the learning rate falls",
     {},
     Need::usual,
     Origin::megatron},
    {"lr_decay_iters", "", [](D d) -> Field { return &d.deck.schedule.lr_decay_iters; },
     "iterations until the learning rate has fallen; null: train_iters", kFromOne, Need::open,
     Origin::megatron},
    {"lr_decay_samples", "", [](D d) -> Field { return &d.deck.schedule.lr_decay_samples; },
     "with train_samples: samples until the learning rate has fallen; null: train_samples",
     kSamples, Need::open, Origin::megatron},
    {"lr_warmup_samples", "", [](D d) -> Field { return &d.deck.schedule.lr_warmup_samples; },
     "with train_samples: samples in which the learning rate rises, instead of the share "
     "warmup",
     kSamples, Need::open, Origin::megatron},
    {"lr_decay_fraction",
     "",
     [](D d) -> Field { return &d.lr_decay_fraction; },
     "lr_decay_iters as a share of train_iters, or of the samples with train_samples",
     {.low = 0, .high = 1, .above_low = true},
     Need::input},
};

}  // namespace

std::span<const Key> batch_keys() { return kBatchKeys; }
std::span<const Key> optimizer_keys() { return kOptimizerKeys; }

}  // namespace trireme::deck
