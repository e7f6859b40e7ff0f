// SPDX-License-Identifier: Apache-2.0
// Task files, their data and their shots: what is read, and each error by name.
#include <set>

#include <boost/test/unit_test.hpp>

#include "trireme/tasks/run_task.hpp"

#include "../../src/tasks/questions.hpp"
#include "../support/error_of.hpp"
#include "../support/temporary_folder.hpp"
#include "scorers.hpp"

using namespace trireme;
using namespace trireme::tasks;
using trireme::test::error_of;
using trireme::test::HashScorer;
using trireme::test::TemporaryFolder;
using trireme::test::write_file;

namespace {

const std::string kChoice =
    "kind: multiple_choice\ndata: d.jsonl\ncontext: \"{q}\"\nchoices: \"{c}\"\ntarget: "
    "\"{t}\"\n";
const std::string kText =
    "kind: generate\ndata: d.jsonl\ncontext: \"{q}\"\ntarget: \"{t}\"\nmax_tokens: 9\n";

/// A task and its data in a folder.
class Files {
 public:
  explicit Files(const std::string& yaml, const std::string& data = "") {
    write_file(folder_ / "t.yml", yaml);
    if (!data.empty()) write_file(folder_ / "d.jsonl", data);
  }
  void add(const std::string& name, const std::string& text) const {
    write_file(folder_ / name, text);
  }
  [[nodiscard]] Task read() const { return read_task(folder_ / "t.yml"); }
  [[nodiscard]] TaskResult run(const RunOptions& options = {}) const {
    HashScorer scorer(40);
    return run_task(read(), ByteTokenizer(), scorer, options);
  }
  [[nodiscard]] std::string trouble(const RunOptions& options = {}) const {
    return error_of([&] { static_cast<void>(run(options)); });
  }

 private:
  TemporaryFolder folder_;
};

std::string refusal(const std::string& yaml) {
  return error_of([&] { static_cast<void>(Files(yaml).read()); });
}

/// Lines {"q": "q0", "t": "t0", "s": "a"}, of which every other belongs to subject b.
std::string lines(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) {
    text += fmt::format(R"({{"q": "q{}", "t": "t{}", "s": "{}"}})"
                        "\n",
                        i, i, i % 2 == 0 ? "a" : "b");
  }
  return text;
}

std::vector<std::string> contexts(const Files& files, const RunOptions& options = {}) {
  std::vector<std::string> found;
  RunOptions with = options;
  with.on_sample = [&](const auto& s) { found.push_back(s["context"]); };
  static_cast<void>(files.run(with));
  return found;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(task_files)

BOOST_AUTO_TEST_CASE(a_task_has_defaults) {
  const Task task = Files(kChoice).read();
  BOOST_TEST(task.name == "t");
  BOOST_TEST(task.delimiter == " ");
  BOOST_TEST(task.separator == "\n\n");
  BOOST_TEST(task.shots == 0);
  BOOST_TEST(task.metrics.size() == 3U);
  BOOST_TEST(task.data.ends_with("/d.jsonl"));
}

BOOST_AUTO_TEST_CASE(what_a_task_file_may_not_say) {
  TRM_TEST_MENTIONS(refusal("data: x\n"), "the key 'kind' is missing");
  TRM_TEST_MENTIONS(refusal("kind: quiz\n"),
                    "t.yml:1:7: \"quiz\" is none of multiple_choice, log_likelihood, generate");
  TRM_TEST_MENTIONS(refusal("kind: generate\n"), "the key 'data' is missing");
  TRM_TEST_MENTIONS(refusal("kind: generate\ndata: d\n"), "the key 'context' is missing");
  TRM_TEST_MENTIONS(refusal("kind: multiple_choice\ndata: d\ncontext: x\n"),
                    "the key 'choices' is missing");
  TRM_TEST_MENTIONS(refusal("kind: generate\ndata: d\ncontext: x\n"),
                    "either 'target', the answer, or 'targets'");
  TRM_TEST_MENTIONS(refusal(kText + "targets: x\n"),
                    "either 'target', the answer, or 'targets'");
  TRM_TEST_MENTIONS(refusal(kChoice + "target_delimiter: x\n"),
                    "t.yml:6:1: a task has no key 'target_delimiter'; its keys are");
  TRM_TEST_MENTIONS(refusal(kChoice + "until: x\n"), "only in a task of kind generate");
  TRM_TEST_MENTIONS(refusal(kText + "choices: x\n"), "only in a task of kind multiple_choice");
  TRM_TEST_MENTIONS(refusal(kChoice + "metrics: [acc, f1]\n"),
                    "\"f1\" is none of acc, acc_norm");
  TRM_TEST_MENTIONS(refusal(kChoice + "metrics: perplexity\n"), "has no metric perplexity");
  TRM_TEST_MENTIONS(refusal(kChoice + "shots: -1\n"), "a number from 0 to 1000");
  TRM_TEST_MENTIONS(refusal(kChoice + "shots: few\n"), "a number from 0 to 1000");
  TRM_TEST_MENTIONS(refusal(kChoice + "shots_order: last\n"), "neither first nor random");
  TRM_TEST_MENTIONS(refusal(kChoice + "replace: [a, b]\n"), "expects pairs [PATTERN, TEXT]");
  TRM_TEST_MENTIONS(refusal(kChoice + "replace: [['(', b]]\n"), "is no regular expression");
  TRM_TEST_MENTIONS(refusal(kChoice + "replace: [[a, '\\1']]\n"),
                    "can't stand for the pattern");
  TRM_TEST_MENTIONS(refusal(kText + "answer: '(a)(b)'\n"), "has several groups");
  TRM_TEST_MENTIONS(refusal(kText + "ignore: dots\n"), "neither case nor punctuation");
  TRM_TEST_MENTIONS(refusal(kText + "until: ''\n"), "expects a text that ends answers");
  TRM_TEST_MENTIONS(refusal(kChoice + "name: [a]\n"), "expects a text, but here stands [a]");
  TRM_TEST_MENTIONS(refusal("kind: multiple_choice\ndata: d\ncontext: x\nchoices: [[a], b]\n"),
                    "expects a text, but here stands [a]");
  TRM_TEST_MENTIONS(refusal("kind: multiple_choice\ndata: d\ncontext: x\nchoices: {a: b}\n"),
                    "expects a text or a list of texts");
  TRM_TEST_MENTIONS(refusal("kind: ["), "YAML error");
  TRM_TEST_MENTIONS(error_of([] { (void)read_task("/nonexistent/t.yml"); }), "nonexistent");
}

BOOST_AUTO_TEST_CASE(what_data_may_not_be) {
  const auto trouble = [](const std::string& data) { return Files(kChoice, data).trouble(); };
  const std::string good = R"({"q": "x", "c": ["a", "b"], "t": 1})";
  TRM_TEST_MENTIONS(Files(kChoice).trouble(), "d.jsonl");
  TRM_TEST_MENTIONS(trouble("\n \n"), "there is no example in this file");
  TRM_TEST_MENTIONS(trouble(good + "\n{\"q\": \n"), "d.jsonl, line 2: not JSON");
  TRM_TEST_MENTIONS(trouble("[1]\n"), "d.jsonl, line 1: the line is JSON, but no object");
  TRM_TEST_MENTIONS(trouble(good + "\n\n{\"q\": \"x\"}\n"), "line 3: there is no field \"t\"");
  TRM_TEST_MENTIONS(trouble(R"({"q": "x", "c": ["a", "b"], "t": 2})"),
                    "the target is choice 2, counted from 0, of 2 choices");
  TRM_TEST_MENTIONS(trouble(R"({"q": "x", "c": ["a", "b"], "t": "B"})"),
                    "the target \"B\" is no number of a choice");
  TRM_TEST_MENTIONS(trouble(R"({"q": "x", "c": ["a"], "t": 0})"), "1 choice is none");
  TRM_TEST_MENTIONS(trouble(R"({"q": "x", "c": ["a", ""], "t": 0})"), "choice 1 is empty");
  TRM_TEST_MENTIONS(trouble(R"({"q": "x", "c": ["a", "b"], "t": [0, 1]})"), "2 targets");
  TRM_TEST_MENTIONS(trouble(R"({"q": "x", "c": ["a", "b"], "t": []})"), "there is no target");
  TRM_TEST_MENTIONS(
      Files(kChoice + "delimiter: ''\n",
            R"({"q": "x", "c": ["a", "0123456789012345678901234567890123456789 "], "t": 0})")
          .trouble(),
      "d.jsonl, line 1: the continuation \"0123456789012345678901234567890123456789...\" has "
      "41");
  TRM_TEST_MENTIONS(Files(kText + "max_tokens: 40\n", lines(1)).trouble(), "given twice");
}

BOOST_AUTO_TEST_CASE(labels_name_choices) {
  const std::string yaml = kChoice + "labels: \"{l}\"\n";
  const std::string row = R"({"q": "x", "c": ["a", "b"], "l": ["B", "A"], "t": "A"})";
  std::size_t right = 0;
  static_cast<void>(
      Files(yaml, row).run({.on_sample = [&](const auto& s) { right = s["right"]; }}));
  BOOST_TEST(right == 1U);
  TRM_TEST_MENTIONS(
      Files(yaml, R"({"q": "x", "c": ["a", "b"], "l": ["B", "A"], "t": "C"})").trouble(),
      "the target \"C\" is none of the labels \"B\", \"A\"");
  TRM_TEST_MENTIONS(
      Files(yaml, R"({"q": "x", "c": ["a", "b"], "l": ["A"], "t": "A"})").trouble(),
      "there are 1 labels for 2 choices");
}

BOOST_AUTO_TEST_CASE(targets_may_have_a_file_of_their_own) {
  std::string yaml = kText;
  yaml.replace(yaml.find("target: \"{t}\""), 13, "targets: t.lst");
  const Files files(yaml, lines(3));
  files.add("t.lst", "u0\r\nu1\nu2\n\n");
  std::vector<std::string> answers;
  static_cast<void>(
      files.run({.on_sample = [&](const auto& s) { answers.push_back(s["answers"][0]); }}));
  BOOST_TEST(answers == (std::vector<std::string>{"u0", "u1", "u2"}));
  files.add("t.lst", "u0\n");
  TRM_TEST_MENTIONS(files.trouble(), "there are 1 lines for the 3 examples");
  files.add("t.lst", "u0\nu1\nu2\n");
  files.add("t.yml", yaml + "shots: 1\nshots_data: d.jsonl\n");
  TRM_TEST_MENTIONS(files.trouble(), "'shots_data' needs the key 'target'");
}

BOOST_AUTO_TEST_CASE(shots_stand_before_the_question) {
  const Files files(kText + "shots: 2\nshots_order: first\ndescription: \"About {s}: \"\n",
                    lines(4));
  const auto found = contexts(files);
  BOOST_TEST(found[3] == "About b: q0 t0\n\nq1 t1\n\nq3");
  BOOST_TEST(found[0] == "About a: q1 t1\n\nq2 t2\n\nq0");  // never its own answer
  BOOST_TEST(contexts(files, {.shots = 0})[1] == "About b: q1");
  BOOST_TEST(contexts(files, {.limit = 2}).size() == 2U);
  TRM_TEST_MENTIONS(files.trouble({.shots = 4}), "4 shots are asked for, but");
  TRM_TEST_MENTIONS(files.trouble({.shots = 4}), "d.jsonl has 3 examples for them");
}

BOOST_AUTO_TEST_CASE(shots_are_drawn_by_the_seed) {
  const Files files(kText + "shots: 3\n", lines(30));
  const auto one = contexts(files, {.seed = 1});
  BOOST_TEST(one == contexts(files, {.seed = 1}));
  BOOST_TEST(one != contexts(files, {.seed = 2}));
  const auto few = contexts(files, {.limit = 5, .seed = 1});
  BOOST_TEST(few == (std::vector<std::string>{one.begin(), one.begin() + 5}));
  for (std::size_t i = 0; i < one.size(); ++i) {  // three others, each once
    BOOST_TEST(one[i].find(fmt::format("q{} ", i)) == std::string::npos);
    std::set<std::string> shots;
    for (std::size_t k = 0; k < 30; ++k) {
      if (one[i].find(fmt::format("q{} t{}\n", k, k)) != std::string::npos) {
        shots.insert(std::to_string(k));
      }
    }
    BOOST_TEST(shots.size() == 3U, one[i]);
  }
}

BOOST_AUTO_TEST_CASE(shots_match_their_question) {
  const Files files(kText + "shots: 2\nshots_data: s.jsonl\nshots_match: \"{s}\"\n", lines(2));
  files.add("s.jsonl", lines(4));
  for (const auto seed : {1U, 2U, 3U}) {
    const auto found = contexts(files, {.seed = seed});
    BOOST_TEST(found[1].find("q1 t1\n\n") != std::string::npos);  // another file's
    BOOST_TEST(found[1].find("q3 t3\n\n") != std::string::npos);
  }
  TRM_TEST_MENTIONS(files.trouble({.shots = 3}), "s.jsonl has 2 examples for them that match");
}

BOOST_AUTO_TEST_CASE(a_written_text_is_cut_and_compared) {
  // The scorer repeats the prompt.
  const std::string rows =
      "{\"q\": \"so A 12. stop\", \"t\": \"A 12\"}\n{\"q\": \"stop A 12\", \"t\": \"A 12\"}\n"
      "{\"q\": \"A 13\", \"t\": \"A 12\"}\n{\"q\": \"no\", \"t\": \"none\"}\n";
  const Files files(kText + "until: [stop]\nanswer: 'A ([0-9]+)'\n", rows);
  std::vector<int> good;
  const TaskResult result =
      files.run({.on_sample = [&](const auto& s) { good.push_back(s["exact_match"]); }});
  BOOST_TEST(good == (std::vector<int>{1, 0, 0, 0}));
  BOOST_TEST(result.measured[0].value == 0.25);
  BOOST_TEST(result.questions == 4);
}

BOOST_AUTO_TEST_CASE(a_question_that_leaves_no_room_is_refused) {
  std::string yaml = kText;
  yaml.replace(yaml.find("max_tokens: 9"), 13, "max_tokens: 40");
  TRM_TEST_MENTIONS(Files(yaml, lines(1)).trouble(), "max_tokens 40 leaves no room");
}

BOOST_AUTO_TEST_CASE(committed_tasks_can_be_read) {
  for (const char* name :
       {"hellaswag", "arc_easy", "arc_challenge", "lambada", "piqa", "mmlu", "gsm8k"}) {
    const Task task =
        read_task(fmt::format("{}/../inputs/tasks/{}.yml", TRIREME_TEST_DIR, name), "/data");
    BOOST_TEST(task.name == name);
    BOOST_TEST(task.data.starts_with("/data/"));
  }
}

BOOST_AUTO_TEST_SUITE_END()
