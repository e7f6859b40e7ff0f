// SPDX-License-Identifier: Apache-2.0
// Regular expressions of tokenizers, on PCRE2.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "pattern.hpp"

#include <array>
#include <pcre2.h>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

std::string message_of(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

/// What a search needs besides the expression: each thread has its own.
class Workspace {
 public:
  Workspace()
      : data_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        stack_(pcre2_jit_stack_create(kFirstStack, kLargestStack, nullptr)) {
    TRM_REQUIRE(data_ != nullptr && context_ != nullptr && stack_ != nullptr,
                "no memory for a search by a regular expression");
    pcre2_jit_stack_assign(context_, nullptr, stack_);
  }
  ~Workspace() {
    pcre2_jit_stack_free(stack_);
    pcre2_match_context_free(context_);
    pcre2_match_data_free(data_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  [[nodiscard]] pcre2_match_data* data() const { return data_; }
  [[nodiscard]] pcre2_match_context* context() const { return context_; }

 private:
  static constexpr std::size_t kFirstStack = 32 << 10;
  static constexpr std::size_t kLargestStack = 64 << 20;
  pcre2_match_data* data_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_;
};

}  // namespace

struct Pattern::Compiled {
  pcre2_code* code = nullptr;
  Compiled() = default;
  ~Compiled() { pcre2_code_free(code); }
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
};

Pattern::Pattern(const std::string& expression, Flavour flavour, const std::string& where)
    : expression_(expression), where_(where), compiled_(std::make_unique<Compiled>()) {
  const std::string full = with_explicit_classes(expression, flavour, where);
  const std::uint32_t lines =
      flavour == Flavour::oniguruma ? PCRE2_MULTILINE : PCRE2_DOLLAR_ENDONLY;
  const std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  TRM_REQUIRE(context != nullptr, "{}: no memory for a regular expression", where);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE at = 0;
  compiled_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(full.data()), full.size(),
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | lines,
                                  &error, &at, context.get());
  TRM_REQUIRE(compiled_->code != nullptr, "{}: the regular expression {} is malformed: {}",
              where, expression, message_of(error));
  // Without JIT, as on a processor that it does not know, searches give equal results.
  (void)pcre2_jit_compile(compiled_->code, PCRE2_JIT_COMPLETE);
}

Pattern::~Pattern() = default;

std::optional<Match> Pattern::find(std::string_view text, std::size_t from) const {
  thread_local Workspace workspace;
  const int found =
      pcre2_match(compiled_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                  PCRE2_NO_UTF_CHECK, workspace.data(), workspace.context());
  if (found == PCRE2_ERROR_NOMATCH) return std::nullopt;
  TRM_REQUIRE(found >= 0, "{}: a search for {} in {} bytes failed: {}", where_, expression_,
              text.size(), message_of(found));
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(workspace.data());
  return Match{ends[0], ends[1]};
}

}  // namespace trireme
