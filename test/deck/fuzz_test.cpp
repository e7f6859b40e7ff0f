// SPDX-License-Identifier: Apache-2.0
// Decks changed at random: each is a deck or an Error, and a deck that is written out is read
// back as it was. The campaign goes on for ten minutes, and under sanitizers as long.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include <boost/test/unit_test.hpp>

#include "trireme/deck/keys.hpp"

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

namespace {

using Lines = std::vector<std::string>;

/// Values that readers of numbers, names and layouts get wrong.
const Lines kValues = {"0",
                       "-1",
                       "1",
                       "7",
                       "1e308",
                       "-1e-320",
                       ".nan",
                       ".inf",
                       "-.inf",
                       "9223372036854775807",
                       "-9223372036854775808",
                       "18446744073709551616",
                       "0x10",
                       "1_000",
                       "1.5",
                       "true",
                       "null",
                       "~",
                       "\"\"",
                       "''",
                       "[]",
                       "{}",
                       "[[]]",
                       "[1, 2",
                       "{a: b",
                       "{a: {a: {a: {a: 1}}}}",
                       "auto",
                       "&a [*a]",
                       "*b",
                       "!!int x",
                       "!!binary ////",
                       "| ",
                       "> ",
                       "\xff\xfe",
                       "\xed\xa0\x80",
                       "a: b",
                       "- 1",
                       "#",
                       "%",
                       "2147483648",
                       "100%",
                       "1 2 3",
                       "969, 30, 1",
                       "[0.9, 0.95]",
                       "\"\\u0000\"",
                       "\t1",
                       "? x",
                       "---"};

class Fuzzer {
 public:
  explicit Fuzzer(std::uint64_t seed) : random_(seed) {}

  /// One of the decks after up to three changes, and perhaps a wrong byte or a lost end.
  std::string next(const std::vector<Lines>& decks) {
    Lines lines = decks[below(decks.size())];
    for (std::size_t changes = below(4); changes > 0; --changes) change(lines, decks);
    std::string text;
    for (const std::string& line : lines) text += line + "\n";
    if (below(8) == 0 && !text.empty()) {
      text[below(text.size())] = static_cast<char>(below(256));
    }
    if (below(16) == 0) text.resize(below(text.size() + 1));
    return text;
  }
  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  void change(Lines& lines, const std::vector<Lines>& decks) {
    if (lines.empty()) lines.emplace_back();
    const std::size_t i = below(lines.size());
    switch (below(7)) {
      case 0:
        lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
        break;
      case 1:
        lines.insert(lines.begin() + static_cast<std::ptrdiff_t>(i),
                     lines[below(lines.size())]);
        break;
      case 2:
        lines[i] = "  " + lines[i];
        break;
      case 3: {
        const Lines& other = decks[below(decks.size())];
        if (!other.empty()) lines[i] = other[below(other.size())];
        break;
      }
      case 4:
        if (!lines[i].empty()) lines[i].erase(below(lines[i].size()), 1);
        break;
      default:
        lines[i] =
            lines[i].substr(0, lines[i].find(':')) + ": " + kValues[below(kValues.size())];
    }
  }

  std::mt19937_64 random_;
};

Lines lines_of(const fs::path& file, std::size_t skip) {
  Lines lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (skip == 0 || (line.size() > skip &&
                      std::string_view("|%&").find(line[2]) != std::string_view::npos)) {
      lines.push_back(line.substr(skip));
    }
  }
  return lines;
}

/// The decks of inputs, whole, and those of the corpus, each with the least deck's lines.
std::vector<Lines> all_decks() {
  std::vector<Lines> decks;
  for (const auto& file : fs::directory_iterator(TRIREME_TEST_DIR "/../inputs")) {
    if (file.path().extension() == ".yml") decks.push_back(lines_of(file.path(), 0));
  }
  Lines least;
  std::istringstream in(kLeast);
  for (std::string line; std::getline(in, line);) least.push_back(line);
  for (const auto& file : fs::directory_iterator(TRIREME_TEST_DIR "/deck/corpus")) {
    const Lines pool = lines_of(file.path(), 4);
    for (std::size_t at = 0; at < pool.size(); at += 4) {
      Lines deck = least;
      if (file.path().filename() != "faults.txt") decks.push_back(least);
      deck.insert(deck.end(), pool.begin() + static_cast<std::ptrdiff_t>(at),
                  pool.begin() + static_cast<std::ptrdiff_t>(std::min(at + 4, pool.size())));
      decks.push_back(std::move(deck));
    }
  }
  return decks;
}

/// Whether the text is a deck.
bool try_deck(const std::string& text, int ranks) {
  try {
    Deck deck = parse_deck(text, "fuzzed.yml");
    const std::string written = to_yaml(deck);
    BOOST_CHECK_MESSAGE(parse_deck(written, "written.yml") == deck,
                        "the written deck differs:\n"
                            << written << "\nfrom:\n"
                            << text);
    resolve(deck, ranks);
    return true;
  } catch (const Error& e) {
    BOOST_CHECK_MESSAGE(*e.what() != '\0', "an error without words for:\n" << text);
  } catch (const std::exception& e) {
    BOOST_ERROR("not an Error, but '" << e.what() << "' for:\n" << text);
  }
  return false;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_fuzz)

BOOST_AUTO_TEST_CASE(a_changed_deck_is_a_deck_or_an_error) {
  const bool campaign = std::getenv("TRIREME_WHOLE_PRODUCTS") != nullptr;
  const auto end = Clock::now() + std::chrono::seconds(campaign ? 600 : 1);
  const std::vector<Lines> decks = all_decks();
  Fuzzer fuzzer(campaign ? std::random_device()() : 1);
  std::size_t tried = 0;
  std::size_t good = 0;
  for (; Clock::now() < end; ++tried) {
    const std::string text = fuzzer.next(decks);
    const auto start = Clock::now();
    good += try_deck(text, 1 << fuzzer.below(8)) ? 1 : 0;
    const std::chrono::duration<double> took = Clock::now() - start;
    BOOST_CHECK_MESSAGE(took.count() < 5, took.count() << " s for:\n" << text);
  }
  BOOST_TEST_MESSAGE(tried << " decks, of which " << good << " are good");
  BOOST_CHECK_GT(good, tried / 100);
  BOOST_CHECK_LT(good, tried);
}

BOOST_AUTO_TEST_SUITE_END()
