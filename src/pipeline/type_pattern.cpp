// SPDX-License-Identifier: Apache-2.0
// Parses patterns to automata, and runs all ways through an automaton at once.
#include "trireme/pipeline/type_pattern.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "trireme/core/error.hpp"

namespace trireme {

namespace {

using Bytes = std::bitset<256>;

std::size_t index_of(char c) { return static_cast<unsigned char>(c); }

Bytes range(char first, char last) {
  Bytes bytes;
  for (std::size_t i = index_of(first); i <= index_of(last); ++i) bytes.set(i);
  return bytes;
}

/// Both cases of each letter.
Bytes without_case(Bytes bytes) {
  for (std::size_t i = 'a'; i <= 'z'; ++i) {
    const bool either = bytes[i] || bytes[i - 'a' + 'A'];
    bytes[i] = bytes[i - 'a' + 'A'] = either;
  }
  return bytes;
}

/// The bytes of \d, \w, \s and their complements. None for another letter.
Bytes class_of(char letter) {
  switch (letter) {
    case 'd':
      return range('0', '9');
    case 'w':
      return range('0', '9') | range('a', 'z') | range('A', 'Z') | range('_', '_');
    case 's':
      return range('\t', '\r') | range(' ', ' ');
    case 'D':
    case 'W':
    case 'S':
      return ~class_of(static_cast<char>(letter - 'A' + 'a'));
    default:
      return {};
  }
}

}  // namespace

/// Recursive descent: alternatives of sequences of repeated atoms.
class TypePatternParser {
 public:
  TypePatternParser(std::string_view text, std::vector<TypePattern::State>& states)
      : text_(text), states_(states) {}

  /// A piece of the automaton: from `begin` to `end`, a jump whose `next` is still open.
  struct Fragment {
    int begin;
    int end;
  };

  Fragment parse() {
    TRM_REQUIRE(text_.size() <= TypePattern::kMostBytes, "it is longer than {} bytes",
                TypePattern::kMostBytes);
    const Fragment all = alternatives();
    TRM_REQUIRE(at_ == text_.size(), "a ) has no (");
    return all;
  }

 private:
  using State = TypePattern::State;
  using Kind = State::Kind;

  [[nodiscard]] bool more() const { return at_ < text_.size(); }
  [[nodiscard]] char peek() const { return more() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (!more() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] State& state(int i) { return states_[static_cast<std::size_t>(i)]; }

  int add(State state) {
    TRM_REQUIRE(states_.size() < TypePattern::kMostStates, "its repetitions are too many");
    states_.push_back(state);
    return static_cast<int>(states_.size()) - 1;
  }
  int jump(int next = -1, int other = -1) { return add({Kind::jump, {}, next, other}); }
  Fragment single(Kind kind, const Bytes& bytes = {}) {
    const int end = jump();
    return {add({kind, bytes, end, -1}), end};
  }
  Fragment empty() {
    const int state = jump();
    return {state, state};
  }

  Fragment alternatives() {
    Fragment all = sequence();
    while (take('|')) {
      const Fragment other = sequence();
      const int end = jump();
      state(all.end).next = state(other.end).next = end;
      all = {jump(all.begin, other.begin), end};
    }
    return all;
  }

  Fragment sequence() {
    Fragment all = empty();
    while (more() && peek() != '|' && peek() != ')') {
      const Fragment next = repeated();
      state(all.end).next = next.begin;
      all.end = next.end;
    }
    return all;
  }

  Fragment repeated() {
    const std::size_t start = at_;
    const Fragment one = atom();
    int least = 0;
    int most = -1;  // no limit
    const std::size_t end = at_;
    if (take('+')) {
      least = 1;
    } else if (take('?')) {
      most = 1;
    } else if (!take('*') && !counts(least, most)) {
      return one;
    }
    TRM_REQUIRE(most < 0 || least <= most, "{{{},{}}} has no number between", least, most);
    const std::size_t behind = at_;
    const std::string_view whole = std::exchange(text_, text_.substr(0, end));
    const Fragment all = copies(one, least, most, start);
    text_ = whole;
    at_ = behind;
    take('?');  // a lazy repetition finds the same texts
    int ignored = 0;
    TRM_REQUIRE(peek() != '*' && peek() != '+' && peek() != '?' && !counts(ignored, ignored),
                "there is no atom to repeat at '{}'", text_.substr(behind));
    return all;
  }

  /// `least` to `most` copies of the atom that begins at `start`; `one` is its first copy. The
  /// others are parsed again, from a text that ends with the atom.
  Fragment copies(const Fragment& one, int least, int most, std::size_t start) {
    const auto again = [&] {
      at_ = start;
      return atom();
    };
    Fragment all = empty();
    Fragment next = one;
    const auto append = [&](const Fragment& f) {
      state(all.end).next = f.begin;
      all.end = f.end;
    };
    bool used = false;
    const auto copy = [&] { return std::exchange(used, true) ? again() : next; };
    for (int i = 0; i < least; ++i) append(copy());
    if (most < 0) {
      const Fragment loop = copy();
      const int end = jump();
      const int fork = jump(loop.begin, end);
      state(loop.end).next = fork;
      append({fork, end});
    }
    for (int i = least; i < most; ++i) {
      const Fragment f = copy();
      const int end = jump();
      state(f.end).next = end;
      append({jump(f.begin, end), end});
    }
    return all;
  }

  /// Reads {m}, {m,}, {,n} or {m,n}. Other braces stand for themselves.
  bool counts(int& least, int& most) {
    if (peek() != '{') return false;
    const std::size_t close = text_.find('}', at_);
    if (close == std::string_view::npos) return false;
    const std::string_view inside = text_.substr(at_ + 1, close - at_ - 1);
    const std::size_t comma = std::min(inside.find(','), inside.size());
    const auto number = [](std::string_view digits, int& n) {
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), n);
      return !digits.empty() && error == std::errc{} && end == digits.data() + digits.size() &&
             n >= 0;
    };
    const std::string_view low = inside.substr(0, comma);
    const std::string_view high = comma < inside.size() ? inside.substr(comma + 1) : low;
    if (inside.empty() || inside == ",") return false;
    if (!low.empty() && !number(low, least)) return false;
    if (!high.empty() && !number(high, most)) return false;
    at_ = close + 1;
    return true;
  }

  Fragment atom() {
    const char c = text_[at_++];
    switch (c) {
      case '(': {
        TRM_REQUIRE(!take('?') || take(':'), "(? begins something other than (?:");
        TRM_REQUIRE(++depth_ <= kDeepest, "its groups are nested too deeply");
        const Fragment group = alternatives();
        --depth_;
        TRM_REQUIRE(take(')'), "a ( has no )");
        return group;
      }
      case '.':
        return single(Kind::bytes, ~range('\n', '\n'));
      case '^':
        return single(Kind::begin);
      case '$':
        return single(Kind::end);
      case '[':
        return single(Kind::bytes, byte_set());
      case '*':
      case '+':
      case '?':
        throw Error(fmt::format("there is no atom to repeat at '{}'", text_.substr(at_ - 1)));
      case '\\': {
        const Bytes named = class_of(peek());
        if (named.none()) return single(Kind::bytes, without_case(range_of(escaped())));
        ++at_;
        return single(Kind::bytes, named);
      }
      default:
        return single(Kind::bytes, without_case(range_of(c)));
    }
  }

  static Bytes range_of(char c) { return range(c, c); }

  /// The character that an escape stands for, where it isn't a class.
  char escaped() {
    TRM_REQUIRE(more(), "it ends in a \\");
    const char c = text_[at_++];
    constexpr std::string_view kNames = "tnrfv";
    constexpr std::string_view kAre = "\t\n\r\f\v";
    if (const auto i = kNames.find(c); i != std::string_view::npos) return kAre[i];
    const bool word = class_of('w')[index_of(c)];
    TRM_REQUIRE(!word || c == '_', "\\{} is not available", c);
    return c;
  }

  /// What stands behind a [.
  Bytes byte_set() {
    const bool complement = take('^');
    Bytes bytes;
    for (bool first = true; first || peek() != ']'; first = false) {
      TRM_REQUIRE(more(), "a [ has no ]");
      char low = text_[at_++];
      if (low == '\\') {
        if (const Bytes named = class_of(peek()); named.any()) {
          ++at_;
          bytes |= named;
          continue;
        }
        low = escaped();
      }
      char high = low;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        high = text_[at_++];
        if (high == '\\') high = escaped();
        TRM_REQUIRE(index_of(low) <= index_of(high), "the range {}-{} is empty", low, high);
      }
      bytes |= range(low, high);
    }
    ++at_;
    bytes = without_case(bytes);
    return complement ? ~bytes : bytes;
  }

  static constexpr int kDeepest = 50;
  std::string_view text_;
  std::vector<State>& states_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

TypePattern::TypePattern(std::string_view pattern) {
  const auto all = TypePatternParser(pattern, states_).parse();
  first_ = all.begin;
  last_ = all.end;
}

bool TypePattern::found_in(std::string_view text) const {
  std::vector<std::size_t> seen(states_.size(), text.size() + 1);  // the last place of a state
  std::vector<int> here;
  std::vector<int> ways;
  bool found = false;
  // Enters a state at a place of the text, and all states that it jumps to.
  const auto enter = [&](int state, std::size_t place, std::vector<int>& into) {
    ways = {state};
    while (!ways.empty()) {
      const int i = ways.back();
      ways.pop_back();
      if (i < 0 || seen[static_cast<std::size_t>(i)] == place) continue;
      seen[static_cast<std::size_t>(i)] = place;
      found |= i == last_;
      const State& s = states_[static_cast<std::size_t>(i)];
      if (s.kind == State::Kind::bytes) {
        into.push_back(i);
      } else if ((s.kind != State::Kind::begin || place == 0) &&
                 (s.kind != State::Kind::end || place == text.size())) {
        ways.push_back(s.next);
        ways.push_back(s.other);
      }
    }
  };
  for (std::size_t place = 0;; ++place) {
    enter(first_, place, here);
    if (found || place == text.size()) return found;
    std::vector<int> next;
    for (const int i : here) {
      const State& s = states_[static_cast<std::size_t>(i)];
      if (s.bytes[index_of(text[place])]) enter(s.next, place + 1, next);
    }
    here = std::move(next);
  }
}

}  // namespace trireme
