// SPDX-License-Identifier: Apache-2.0
// Small decks of every style, each with what must come out. The folder corpus holds the cases.
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include <boost/test/unit_test.hpp>

#include "trireme/deck/keys.hpp"
#include "trireme/deck/show.hpp"

#include "examples.hpp"

using namespace trireme;
using namespace trireme::test;

namespace fs = std::filesystem;

namespace {

/// A case is a paragraph: a title, and lines that begin with a mark.
///   |  a line of the first deck, which the least deck precedes
///   %  the same, without the least deck
///   &  a line of a second deck
///   $  an override, key=value
///   ^  ranks to resolve for
///   =  a path and the value that must come out
///   !  part of the error
///   ~  part of a warning
///   +  part of a note
struct Case {
  std::string title;
  std::map<char, std::vector<std::string>> lines;
};

std::vector<Case> cases_of(const fs::path& file) {
  std::vector<Case> cases;
  std::ifstream in(file);
  bool open = false;
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) {
      open = false;
    } else if (line[0] == '#') {
      continue;
    } else if (!open) {
      cases.push_back({line, {}});
      open = true;
    } else {
      BOOST_REQUIRE_MESSAGE(line.size() > 4 && line[3] == ' ', file << ": " << line);
      cases.back().lines[line[2]].push_back(line.substr(4));
    }
  }
  return cases;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

/// The least deck without keys that the case gives itself.
std::string least_beside(const std::vector<std::string>& lines) {
  std::set<std::string> given;
  for (const std::string& line : lines) given.insert(line.substr(0, line.find(':')));
  std::string text;
  for (std::size_t at = 0; at < kLeast.size();) {
    const std::size_t end = kLeast.find('\n', at) + 1;
    const std::string line = kLeast.substr(at, end - at);
    if (!given.contains(line.substr(0, line.find(':')))) text += line;
    at = end;
  }
  return text;
}

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "trireme_corpus_XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return (path_ / name).string();
  }

 private:
  fs::path path_;
};

bool some_contain(const std::vector<std::string>& texts, const std::string& part) {
  return std::ranges::any_of(texts, [&](const auto& t) { return contains(t, part); });
}

Deck read(const Case& c, const Folder& folder) {
  const auto lines = [&](char mark) {
    const auto at = c.lines.find(mark);
    return at == c.lines.end() ? std::vector<std::string>{} : at->second;
  };
  const auto whole = lines('%');
  std::vector<std::string> files{folder.write(
      "a.yml", whole.empty() ? least_beside(lines('|')) + joined(lines('|')) : joined(whole))};
  if (!lines('&').empty()) files.push_back(folder.write("b.json", joined(lines('&'))));
  Deck deck = read_deck(files, lines('$'));
  const auto ranks = lines('^');
  if (!ranks.empty()) resolve(deck, std::stoi(ranks[0]));
  return deck;
}

void check(const Case& c, const Folder& folder) {
  const auto lines = [&](char mark) {
    const auto at = c.lines.find(mark);
    return at == c.lines.end() ? std::vector<std::string>{} : at->second;
  };
  Deck deck;
  try {
    deck = read(c, folder);
  } catch (const Error& e) {
    BOOST_CHECK_MESSAGE(!lines('!').empty(), c.title << ": " << e.what());
    for (const std::string& part : lines('!')) {
      BOOST_CHECK_MESSAGE(contains(e.what(), part),
                          c.title << ": expected '" << part << "' in: " << e.what());
    }
    return;
  }
  BOOST_CHECK_MESSAGE(lines('!').empty(), c.title << ": no error");
  std::map<std::string, std::string> values;
  for (const ShownSetting& s : shown_settings(deck)) values[s.path] = s.value;
  for (const std::string& line : lines('=')) {
    const std::string path = line.substr(0, line.find(' '));
    const std::string expected = line.substr(line.find(' ') + 1);
    BOOST_CHECK_MESSAGE(values[path] == expected, c.title << ": " << path << " is "
                                                          << values[path] << ", not "
                                                          << expected);
  }
  for (const std::string& part : lines('~')) {
    BOOST_CHECK_MESSAGE(
        some_contain(deck.warnings, part),
        c.title << ": no warning '" << part << "' among: " << joined(deck.warnings));
  }
  for (const std::string& part : lines('+')) {
    BOOST_CHECK_MESSAGE(some_contain(deck.notes, part),
                        c.title << ": no note '" << part << "' among: " << joined(deck.notes));
  }
  if (lines('~').empty()) {
    BOOST_CHECK_MESSAGE(deck.warnings.empty(), c.title << ": " << joined(deck.warnings));
  }
  BOOST_CHECK_MESSAGE(parse_deck(to_yaml(deck), "written.yml") == deck,
                      c.title << ": the written deck differs");
  BOOST_CHECK_MESSAGE(
      read_deck({folder.write("shown.yml", to_yaml_with_sources(deck))}) == deck,
      c.title << ": the shown deck differs");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(deck_corpus)

BOOST_AUTO_TEST_CASE(every_case_comes_out_as_it_must) {
  const Folder folder;
  std::size_t count = 0;
  std::set<std::string> titles;
  for (const auto& file : fs::directory_iterator(TRIREME_TEST_DIR "/deck/corpus")) {
    for (const Case& c : cases_of(file.path())) {
      ++count;
      BOOST_CHECK_MESSAGE(titles.insert(c.title).second, c.title << " stands there twice");
      BOOST_CHECK_MESSAGE(!c.lines.empty(), c.title << " is empty");
      check(c, folder);
    }
  }
  BOOST_CHECK_GE(count, 120U);
}

BOOST_AUTO_TEST_SUITE_END()
