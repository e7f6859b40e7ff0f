// SPDX-License-Identifier: Apache-2.0
// One row for each optimizer.
#include "trireme/optim/optimizer_table.hpp"

#include <algorithm>
#include <iterator>
#include <limits>

#include "trireme/ops/eight_bit.hpp"
#include "trireme/ops/element_rules.hpp"
#include "trireme/ops/update.hpp"

#include "tensor_update.hpp"
#include "zero_one_intervals.hpp"

namespace trireme {

namespace {

using Config = OptimizerConfig;

std::vector<const char*> adamw_arrays(const Config& /*config*/) {
  return {"exp_avg", "exp_avg_sq"};
}

void update_by_adamw(const Exec& ex, const Config& config, double lr, double weight_decay,
                     const UpdateArrays& a) {
  const AdamwStep step{.lr = lr,
                       .beta1 = config.beta1,
                       .beta2 = config.beta2,
                       .epsilon = config.epsilon,
                       .weight_decay = weight_decay,
                       .l2 = config.kind == OptimizerKind::adam};
  if (a.state.size() == 4) {  // codes and scales
    return ops::adam_8bit(ex, {.step = step,
                               .gradient = a.gradient,
                               .value = a.value,
                               .exp_avg = a.state[0],
                               .exp_avg_scale = a.state[1],
                               .exp_avg_sq = a.state[2],
                               .exp_avg_sq_scale = a.state[3],
                               .copy = a.copy,
                               .state = a.decision});
  }
  ops::adamw(ex, {.step = step,
                  .gradient = a.gradient,
                  .value = a.value,
                  .exp_avg = a.state[0],
                  .exp_avg_sq = a.state[1],
                  .copy = a.copy,
                  .state = a.decision});
}

std::vector<const char*> sgd_arrays(const Config& config) {
  if (config.momentum == 0) return {};
  return {"momentum"};
}

void update_by_sgd(const Exec& ex, const Config& config, double lr, double weight_decay,
                   const UpdateArrays& a) {
  ops::sgd(ex, {.step = {.lr = lr,
                         .momentum = config.momentum,
                         .weight_decay = weight_decay,
                         .dampening = config.dampening,
                         .nesterov = config.nesterov},
                .gradient = a.gradient,
                .value = a.value,
                .momentum = a.state.empty() ? View() : a.state[0],
                .copy = a.copy,
                .state = a.decision});
}

ElementStep element_step(const Config& config, double lr, double weight_decay) {
  const bool lion = config.kind == OptimizerKind::lion;
  return {.rule = lion                                    ? ElementRule::lion
                  : config.kind == OptimizerKind::adagrad ? ElementRule::adagrad
                                                          : ElementRule::madgrad,
          .lr = lr,
          .beta1 = config.beta1,
          .beta2 = config.beta2,
          .momentum = config.momentum,
          .epsilon = config.epsilon,
          .weight_decay = weight_decay,
          .lr_decay = config.lr_decay,
          .initial = config.initial_accumulator_value};
}

void update_by_element(const Exec& ex, const Config& config, double lr, double weight_decay,
                       const UpdateArrays& a) {
  const auto state = [&](std::size_t i) { return i < a.state.size() ? a.state[i] : View(); };
  ops::element_update(ex, {.step = element_step(config, lr, weight_decay),
                           .gradient = a.gradient,
                           .value = a.value,
                           .first = state(0),
                           .second = state(1),
                           .third = state(2),
                           .copy = a.copy,
                           .state = a.decision});
}

std::vector<const char*> lion_arrays(const Config& /*config*/) { return {"exp_avg"}; }
std::vector<const char*> adagrad_arrays(const Config& /*config*/) { return {"sum"}; }
std::vector<const char*> madgrad_arrays(const Config& config) {
  if (config.momentum == 0) return {"grad_sum_sq", "s"};
  return {"grad_sum_sq", "s", "x0"};
}
std::vector<const char*> one_bit_lamb_arrays(const Config& /*config*/) {
  return {"exp_avg", "exp_avg_sq", "exp_avg_sq_fresh"};
}
std::vector<const char*> zero_one_adam_arrays(const Config& /*config*/) {
  return {"exp_avg_sq"};
}
std::int64_t updates_until_frozen(const Config& config) { return config.freeze_step; }
std::vector<const char*> no_arrays(const Config& /*config*/) { return {}; }

bool muon_has_array(const Parameter& p, std::size_t array) {
  return array == 0 || !is_orthogonalized(p);
}

std::vector<OptimizerKey> adam_keys() {
  return {{"betas", {&Config::beta1, &Config::beta2}},
          {"eps", {&Config::epsilon}},
          {.name = "bias_correction", .flag = &Config::bias_correction},
          {.name = "adam_w_mode", .flag = &Config::adam_w_mode},
          {"min_8bit_size", {}, {}, nullptr, &Config::min_8bit_size}};
}

/// Optimizers that change each element by itself.
std::vector<OptimizerRow> flat_rows() {
  return {
      {.kind = OptimizerKind::adamw,
       .name = "AdamW",
       .aliases = {"cpu_adam"},
       .keys = adam_keys(),
       .state_arrays = adamw_arrays,
       .update = update_by_adamw},
      {.kind = OptimizerKind::adam,
       .name = "Adam",
       .aliases = {"cpu_torch_adam"},
       .keys = adam_keys(),
       .state_arrays = adamw_arrays,
       .update = update_by_adamw},
      {.kind = OptimizerKind::sgd,
       .name = "SGD",
       .aliases = {},
       .keys = {{"momentum", {&Config::momentum}},
                {"dampening", {&Config::dampening}},
                {.name = "nesterov", .flag = &Config::nesterov}},
       .state_arrays = sgd_arrays,
       .update = update_by_sgd},
      {.kind = OptimizerKind::lion,
       .name = "Lion",
       .aliases = {},
       .keys = {{"betas", {&Config::beta1, &Config::beta2}, {0.9, 0.99}}},
       .state_arrays = lion_arrays,
       .update = update_by_element},
      {.kind = OptimizerKind::adagrad,
       .name = "Adagrad",
       .aliases = {},
       .keys = {{"eps", {&Config::epsilon}, {1e-10}},
                {"lr_decay", {&Config::lr_decay}},
                {"initial_accumulator_value", {&Config::initial_accumulator_value}}},
       .state_arrays = adagrad_arrays,
       .update = update_by_element},
      {.kind = OptimizerKind::madgrad,
       .name = "madgrad_wd",
       .aliases = {},
       .keys = {{"eps", {&Config::epsilon}, {1e-6}}, {"momentum", {&Config::momentum}, {0.9}}},
       .state_arrays = madgrad_arrays,
       .update = update_by_element},
  };
}

/// Optimizers whose momenta travel as signs.
std::vector<OptimizerRow> compressed_rows() {
  return {{.kind = OptimizerKind::one_bit_adam,
           .name = "OneBitAdam",
           .aliases = {},
           .keys = {{"betas", {&Config::beta1, &Config::beta2}},
                    {"eps", {&Config::epsilon}},
                    {.name = "bias_correction", .flag = &Config::bias_correction},
                    {.name = "freeze_step", .number = &Config::freeze_step}},
           .state_arrays = adamw_arrays,
           .whole = make_one_bit_adam,
           .compresses = true,
           .exact_updates = updates_until_frozen},
          {.kind = OptimizerKind::one_bit_lamb,
           .name = "OneBitLamb",
           .aliases = {},
           .keys = {{"betas", {&Config::beta1, &Config::beta2}},
                    {"eps", {&Config::epsilon}},
                    {.name = "bias_correction", .flag = &Config::bias_correction},
                    {.name = "freeze_step", .number = &Config::freeze_step},
                    {"max_coeff", {&Config::max_coeff}},
                    {"min_coeff", {&Config::min_coeff}},
                    {"coeff_beta", {&Config::coeff_beta}},
                    {"factor_max", {&Config::factor_max}},
                    {"factor_min", {&Config::factor_min}},
                    {"factor_threshold", {&Config::factor_threshold}}},
           .state_arrays = one_bit_lamb_arrays,
           .whole = make_one_bit_lamb,
           .compresses = true,
           .exact_updates = updates_until_frozen},
          {.kind = OptimizerKind::zero_one_adam,
           .name = "ZeroOneAdam",
           .aliases = {},
           .keys = {{"betas", {&Config::beta1, &Config::beta2}},
                    {"eps", {&Config::epsilon}},
                    {.name = "bias_correction", .flag = &Config::bias_correction},
                    {.name = "var_freeze_step", .number = &Config::var_freeze_step},
                    {.name = "var_update_scaler", .number = &Config::var_update_scaler},
                    {.name = "local_step_scaler", .number = &Config::local_step_scaler},
                    {.name = "local_step_clipper", .number = &Config::local_step_clipper}},
           .state_arrays = zero_one_adam_arrays,
           .whole = make_zero_one_adam,
           .compresses = true,
           .exact_updates = updates_until_signs,
           .averages_each_step = false}};
}

/// Optimizers that need sums over whole parameters.
std::vector<OptimizerRow> tensor_rows() {
  return {
      {.kind = OptimizerKind::lamb,
       .name = "Lamb",
       .aliases = {},
       .keys = {{"betas", {&Config::beta1, &Config::beta2}},
                {"eps", {&Config::epsilon}},
                {.name = "bias_correction", .flag = &Config::bias_correction},
                {"max_coeff", {&Config::max_coeff}},
                {"min_coeff", {&Config::min_coeff}}},
       .state_arrays = adamw_arrays,
       .whole = make_lamb},
      {.kind = OptimizerKind::adafactor,
       .name = "Adafactor",
       .aliases = {},
       .keys = {{"eps", {&Config::epsilon}, {std::numeric_limits<float>::epsilon()}},
                {"eps2", {&Config::epsilon2}},
                {"beta2_decay", {&Config::beta2_decay}},
                {"d", {&Config::clip_threshold}}},
       .state_arrays = no_arrays,
       .whole = make_adafactor,
       .factored = true},
      {.kind = OptimizerKind::muon,
       .name = "Muon",
       .aliases = {},
       .keys = {{"betas", {&Config::beta1, &Config::beta2}, {0.9, 0.95}},
                {"eps", {&Config::epsilon}, {1e-10}},
                {"momentum", {&Config::momentum}, {0.95}},
                {"muon_lr", {&Config::muon_lr}},
                {"adam_lr", {&Config::adam_lr}}},
       .state_arrays = adamw_arrays,
       .whole = make_muon,
       .has_array = muon_has_array},
      {.kind = OptimizerKind::sm3,
       .name = "SM3",
       .aliases = {},
       .keys = {{"eps", {&Config::epsilon}, {1e-30}},
                {"momentum", {&Config::momentum}},
                {"beta", {&Config::beta}}},
       .state_arrays = sgd_arrays,
       .whole = make_sm3,
       .factored = true},
  };
}

}  // namespace

std::span<const OptimizerRow> optimizer_table() {
  static const std::vector<OptimizerRow> table = [] {
    std::vector<OptimizerRow> rows = flat_rows();
    std::ranges::move(tensor_rows(), std::back_inserter(rows));
    std::ranges::move(compressed_rows(), std::back_inserter(rows));
    return rows;
  }();
  return table;
}

const OptimizerRow& optimizer_row(OptimizerKind kind) {
  const auto table = optimizer_table();
  const auto row = std::ranges::find(table, kind, &OptimizerRow::kind);
  TRM_CHECK(row != table.end(), "optimizer {} is in no row of the table",
            static_cast<int>(kind));
  return *row;
}

std::vector<const char*> state_arrays(const OptimizerConfig& config) {
  return optimizer_row(config.kind).state_arrays(config);
}

double bytes_of_state(const OptimizerConfig& config, DType moments) {
  if (!config.eight_bit) return static_cast<double>(size_of(moments));
  return 1 + static_cast<double>(sizeof(float)) / eight_bit::kBlock;
}

std::vector<std::string> state_kinds(const OptimizerConfig& config) {
  const OptimizerRow& row = optimizer_row(config.kind);
  const auto arrays = row.state_arrays(config);
  std::vector<std::string> kinds(arrays.begin(), arrays.end());
  if (row.has_array != nullptr) kinds.resize(1);  // which parameters have the others may vary
  if (row.factored) kinds.emplace_back("row");    // ... as may which are matrices
  return kinds;
}

}  // namespace trireme
