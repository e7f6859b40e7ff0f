// SPDX-License-Identifier: Apache-2.0
// Reads the YAML file of a task.
#include "trireme/tasks/task.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <functional>
#include <set>

#include <re2/re2.h>

#include "trireme/core/printable.hpp"

#include "text_lines.hpp"

namespace trireme::tasks {

namespace {

using deck::Value;

constexpr std::array kKinds{TaskKind::multiple_choice, TaskKind::log_likelihood,
                            TaskKind::generate};
constexpr std::array kMetrics{Metric::acc, Metric::acc_norm, Metric::acc_bytes,
                              Metric::perplexity, Metric::exact_match};

std::vector<Metric> metrics_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::multiple_choice:
      return {Metric::acc, Metric::acc_norm, Metric::acc_bytes};
    case TaskKind::log_likelihood:
      return {Metric::acc, Metric::perplexity};
    case TaskKind::generate:
      break;
  }
  return {Metric::exact_match};
}

/// Takes the keys of a task's file one by one.
class Reader {
 public:
  Reader(const std::string& path, const std::string& folder)
      : path_(path),
        folder_(folder.empty() ? std::filesystem::path(path).parent_path().string() : folder),
        tree_(deck::parse_tree(text_of(path), path)) {}

  /// The value of a key, or null.
  const Value* find(const char* key) {
    known_.emplace(key);
    const Value* value = tree_.find(key);
    return value == nullptr || value->kind == Value::Kind::null ? nullptr : value;
  }
  const Value& need(const char* key, const char* meaning) {
    const Value* value = find(key);
    TRM_REQUIRE(value != nullptr, "{}: the key '{}' is missing: {}", printable(path_), key,
                meaning);
    return *value;
  }
  static std::string text(const Value& value) {
    if (value.kind != Value::Kind::scalar) {
      deck::fail(value.place, "expects a text, but here stands {}", value.str());
    }
    return value.text;
  }
  void text(const char* key, std::string& to) {
    if (const Value* value = find(key)) to = text(*value);
  }
  void text(const char* key, Template& to) {
    if (const Value* value = find(key)) to = Template(text(*value), value->place);
  }
  void texts(const char* key, Texts& to) {
    if (const Value* value = find(key)) to = Texts(*value);
  }
  /// A path that begins at the folder.
  std::string path(const Value& value) const {
    const std::string name = text(value);
    if (name.empty()) deck::fail(value.place, "expects a path");
    return (std::filesystem::path(folder_) / name).string();
  }
  void path(const char* key, std::string& to) {
    if (const Value* value = find(key)) to = path(*value);
  }
  void count(const char* key, int least, int most, int& to) {
    const Value* value = find(key);
    if (value == nullptr) return;
    const std::string words = text(*value);
    const char* const end = words.data() + words.size();
    const auto [stop, code] = std::from_chars(words.data(), end, to);
    if (code != std::errc() || stop != end || to < least || to > most) {
      deck::fail(value->place, "expects a number from {} to {}, but here stands {}", least,
                 most, value->str());
    }
  }
  /// Calls f with each text of a list, or with the one text.
  void each(const char* key, const std::function<void(const Value&)>& f) {
    const Value* value = find(key);
    if (value == nullptr) return;
    if (value->kind != Value::Kind::list) return f(*value);
    for (const Value& item : value->items) f(item);
  }
  /// One of some words.
  template <class T, std::size_t N>
  static T one_of(const Value& value, const std::array<T, N>& all) {
    const std::string word = text(value);
    std::vector<std::string> names;
    for (const T one : all) {
      if (word == name_of(one)) return one;
      names.emplace_back(name_of(one));
    }
    deck::fail(value.place, "\"{}\" is none of {}", shortened(word, 40),
               fmt::join(names, ", "));
  }
  /// Throws Error on a key that nothing asked for.
  void finish() const {
    for (const deck::Entry& entry : tree_.entries) {
      if (known_.contains(entry.key)) continue;
      deck::fail(entry.place, "a task has no key '{}'; its keys are {}", entry.key,
                 fmt::join(known_, ", "));
    }
  }

 private:
  const std::string& path_;
  std::string folder_;
  Value tree_;
  std::set<std::string, std::less<>> known_;
};

std::shared_ptr<const re2::RE2> pattern_of(const Value& value) {
  const std::string words = Reader::text(value);
  RE2::Options options;
  options.set_log_errors(false);
  auto pattern = std::make_shared<const re2::RE2>(words, options);
  if (!pattern->ok()) {
    deck::fail(value.place, "\"{}\" is no regular expression: {}", shortened(words, 60),
               pattern->error());
  }
  return pattern;
}

void read_replacements(Reader& reader, Task& task) {
  reader.each("replace", [&](const Value& pair) {
    if (pair.kind != Value::Kind::list || pair.items.size() != 2) {
      deck::fail(pair.place, "expects pairs [PATTERN, TEXT], but here stands {}", pair.str());
    }
    Replacing one{pattern_of(pair.items[0]), Reader::text(pair.items[1])};
    std::string trouble;
    if (!one.pattern->CheckRewriteString(one.text, &trouble)) {
      deck::fail(pair.place, "the text of this pair can't stand for the pattern: {}", trouble);
    }
    task.replace.push_back(std::move(one));
  });
}

void read_metrics(Reader& reader, Task& task) {
  const std::vector<Metric> all = metrics_of(task.kind);
  reader.each("metrics", [&](const Value& value) {
    const Metric metric = Reader::one_of(value, kMetrics);
    if (std::ranges::find(all, metric) == all.end()) {
      deck::fail(value.place, "a task of kind {} has no metric {}", name_of(task.kind),
                 name_of(metric));
    }
    task.metrics.push_back(metric);
  });
  if (task.metrics.empty()) task.metrics = all;
}

void read_shots(Reader& reader, Task& task) {
  reader.count("shots", 0, 1000, task.shots);
  reader.path("shots_data", task.shots_data);
  reader.text("shots_match", task.shots_match);
  if (const Value* order = reader.find("shots_order")) {
    const std::string word = Reader::text(*order);
    if (word != "first" && word != "random") {
      deck::fail(order->place, "\"{}\" is neither first nor random", shortened(word, 40));
    }
    task.shots_first = word == "first";
  }
}

void read_generation(Reader& reader, Task& task) {
  reader.each("until", [&](const Value& value) {
    task.until.push_back(Reader::text(value));
    if (task.until.back().empty()) deck::fail(value.place, "expects a text that ends answers");
  });
  reader.count("max_tokens", 1, 1'000'000, task.max_tokens);
  if (const Value* answer = reader.find("answer")) {
    task.answer = pattern_of(*answer);
    if (task.answer->NumberOfCapturingGroups() > 1) {
      deck::fail(answer->place, "has several groups; (?: ) groups without capturing");
    }
  }
  reader.each("ignore", [&](const Value& value) {
    const std::string word = Reader::text(value);
    if (word != "case" && word != "punctuation") {
      deck::fail(value.place, "\"{}\" is neither case nor punctuation", shortened(word, 40));
    }
    (word == "case" ? task.ignore_case : task.ignore_punctuation) = true;
  });
}

/// Keys of another kind would be ignored, so they are refused.
void refuse_idle(Reader& reader, TaskKind kind) {
  const auto only = [&](TaskKind owner, std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
      const Value* value = kind == owner ? nullptr : reader.find(key);
      if (value == nullptr) continue;
      deck::fail(value->place, "the key '{}' has a meaning only in a task of kind {}", key,
                 name_of(owner));
    }
  };
  only(TaskKind::multiple_choice, {"choices", "labels"});
  only(TaskKind::generate, {"until", "max_tokens", "answer", "ignore"});
}

}  // namespace

const char* name_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::multiple_choice:
      return "multiple_choice";
    case TaskKind::log_likelihood:
      return "log_likelihood";
    case TaskKind::generate:
      break;
  }
  return "generate";
}

const char* name_of(Metric metric) {
  switch (metric) {
    case Metric::acc:
      return "acc";
    case Metric::acc_norm:
      return "acc_norm";
    case Metric::acc_bytes:
      return "acc_bytes";
    case Metric::perplexity:
      return "perplexity";
    case Metric::exact_match:
      break;
  }
  return "exact_match";
}

Task read_task(const std::string& path, const std::string& folder) {
  Reader reader(path, folder);
  Task task;
  task.file = path;
  task.name = std::filesystem::path(path).stem().string();
  reader.text("name", task.name);
  task.kind = Reader::one_of(reader.need("kind", "multiple_choice, log_likelihood or generate"),
                             kKinds);
  refuse_idle(reader, task.kind);
  read_metrics(reader, task);
  task.data = reader.path(reader.need("data", "a file of JSON lines"));
  reader.text("description", task.description);
  const Value& context = reader.need("context", "the text before the answer");
  task.context = Template(Reader::text(context), context.place);
  if (task.kind == TaskKind::multiple_choice) {
    task.choices = Texts(reader.need("choices", "the texts to choose from"));
  }
  reader.texts("labels", task.labels);
  reader.texts("target", task.target);
  reader.path("targets", task.targets);
  TRM_REQUIRE(
      task.target.empty() != task.targets.empty(),
      "{}: a task has either 'target', the answer, or 'targets', a file with a line for "
      "each example",
      printable(path));
  reader.text("delimiter", task.delimiter);
  reader.text("separator", task.separator);
  read_replacements(reader, task);
  read_shots(reader, task);
  read_generation(reader, task);
  reader.finish();
  return task;
}

void require_files(const Task& task) {
  for (const std::string* path : {&task.data, &task.targets, &task.shots_data}) {
    std::error_code code;
    TRM_REQUIRE(path->empty() || std::filesystem::exists(*path, code),
                "{}: the task's file {} does not exist; --task-data, or eval_tasks_data in a "
                "deck, names the folder of the tasks' data",
                printable(task.file), printable(*path));
  }
}

}  // namespace trireme::tasks
