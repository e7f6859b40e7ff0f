// SPDX-License-Identifier: Apache-2.0
// Runs a task.
#include "trireme/tasks/run_task.hpp"

#include <algorithm>
#include <map>

#include "trireme/core/printable.hpp"

#include "judge.hpp"

namespace trireme::tasks {

namespace {

using Json = nlohmann::ordered_json;

/// A question with all that stands before it.
struct Asked {
  Question question;
  std::string context;
  const Example* example = nullptr;
};

/// Asks the questions of one task.
class Runner {
 public:
  Runner(const Task& task, const Tokenizer& tokenizer, Scorer& scorer,
         const RunOptions& options)
      : task_(task), tokenizer_(tokenizer), scorer_(scorer), options_(options) {}

  TaskResult run() {
    TaskResult result{
        .name = task_.name, .kind = task_.kind, .shots = options_.shots.value_or(task_.shots)};
    const Questions questions(task_, task_.data, task_.targets);
    const Shots shots(task_, result.shots, options_.seed, questions);
    std::size_t n = questions.size();
    if (options_.limit > 0) n = std::min(n, static_cast<std::size_t>(options_.limit));
    for (std::size_t i = 0; i < n; ++i) {
      Question question = questions.question(i);
      std::string context = shots.before(i) + question.context;
      asked_.push_back({std::move(question), std::move(context), &questions.example(i)});
    }
    if (task_.kind == TaskKind::generate) {
      generate();
    } else {
      score();
    }
    result.questions = static_cast<std::int64_t>(n);
    for (const Metric metric : task_.metrics) {
      result.measured.push_back(measure(metric, worth_[metric]));
    }
    return result;
  }

 private:
  [[nodiscard]] std::vector<std::string> continuations(const Asked& asked) const {
    if (task_.kind == TaskKind::multiple_choice) return asked.question.choices;
    return {asked.question.answers.front()};
  }

  void report(std::size_t done, std::size_t total) const {
    if (options_.on_progress) options_.on_progress(done, total);
  }

  void score() {
    std::vector<Request> requests;
    for (const Asked& asked : asked_) {
      for (const std::string& text : continuations(asked)) {
        const auto failure = failure_of([&] {
          requests.push_back(make_request(tokenizer_, asked.context, task_.delimiter + text,
                                          scorer_.length()));
        });
        if (failure) {
          throw Error(fmt::format("{}: {}", asked.example->place(), failure->what()));
        }
      }
    }
    const std::vector<RequestScore> scores = score_requests(
        scorer_, requests, [&](std::size_t done) { report(done, requests.size()); });
    std::size_t at = 0;
    for (const Asked& asked : asked_) {
      const std::size_t n = continuations(asked).size();
      const auto own = std::span(scores).subspan(at, n);
      if (task_.kind == TaskKind::multiple_choice) {
        judge_choices(asked, own);
      } else {
        judge_continuation(asked, own.front());
      }
      at += n;
    }
  }

  [[nodiscard]] Json sample_of(const Asked& asked) const {
    return {{"task", task_.name}, {"line", asked.example->line}, {"context", asked.context}};
  }

  void judge_choices(const Asked& asked, std::span<const RequestScore> scores) {
    const Question& question = asked.question;
    Json sample = sample_of(asked);
    for (std::size_t c = 0; c < scores.size(); ++c) {
      sample["choices"].push_back({{"text", question.choices[c]},
                                   {"log_likelihood", scores[c].log_likelihood},
                                   {"greedy", scores[c].greedy}});
    }
    sample["right"] = question.right;
    for (const Metric metric : task_.metrics) {
      const bool good = likeliest(weighed(metric, question, scores)) == question.right;
      worth_[metric].push_back(good ? 1 : 0);
      sample[name_of(metric)] = good ? 1 : 0;
    }
    if (options_.on_sample) options_.on_sample(sample);
  }

  void judge_continuation(const Asked& asked, const RequestScore& score) {
    Json sample = sample_of(asked);
    sample["answer"] = asked.question.answers.front();
    sample["log_likelihood"] = score.log_likelihood;
    sample["acc"] = score.greedy ? 1 : 0;
    worth_[Metric::acc].push_back(score.greedy ? 1 : 0);
    worth_[Metric::perplexity].push_back(score.log_likelihood);
    if (options_.on_sample) options_.on_sample(sample);
  }

  void generate() {
    TRM_REQUIRE(
        task_.max_tokens < scorer_.length(),
        "{}: max_tokens {} leaves no room for the question, as the model reads {} tokens",
        printable(task_.file), task_.max_tokens, scorer_.length());
    const auto room = static_cast<std::size_t>(scorer_.length() - task_.max_tokens);
    std::vector<Tokens> prompts;
    std::vector<std::size_t> lengths;
    for (const Asked& asked : asked_) {
      Tokens prompt =
          asked.context.empty() ? prefix_of(tokenizer_) : tokenizer_.surroundings().before;
      tokenizer_.encode(asked.context, prompt);
      if (prompt.size() > room) {
        prompt.erase(prompt.begin(), prompt.end() - static_cast<std::ptrdiff_t>(room));
      }
      lengths.push_back(prompt.size());
      prompts.push_back(std::move(prompt));
    }
    std::vector<std::string> texts(prompts.size());
    const std::vector<std::size_t> order = longest_first(lengths);
    for (std::size_t at = 0; at < order.size(); at += scorer_.batch()) {
      const std::size_t end = std::min(order.size(), at + scorer_.batch());
      std::vector<Tokens> batch;
      for (std::size_t i = at; i < end; ++i) batch.push_back(prompts[order[i]]);
      const std::vector<Tokens> found = scorer_.generate(batch, task_.max_tokens, task_.until);
      for (std::size_t i = at; i < end; ++i) texts[order[i]] = text_of(found[i - at]);
      report(end, order.size());
    }
    for (std::size_t i = 0; i < asked_.size(); ++i) judge_text(asked_[i], texts[i]);
  }

  /// The text before the end of the document, or before what ends an answer.
  [[nodiscard]] std::string text_of(const Tokens& tokens) const {
    const auto end = std::ranges::find(tokens, tokenizer_.end_of_document());
    return cut_at(tokenizer_.decode_known({tokens.begin(), end}), task_.until);
  }

  void judge_text(const Asked& asked, const std::string& text) {
    const std::string answer = answer_of(task_, text);
    const bool good =
        std::ranges::any_of(asked.question.answers, [&](const std::string& right) {
          const std::string wanted = answer_of(task_, right);
          return answer == wanted && !(answer.empty() && task_.answer != nullptr);
        });
    worth_[Metric::exact_match].push_back(good ? 1 : 0);
    if (!options_.on_sample) return;
    Json sample = sample_of(asked);
    sample["answers"] = asked.question.answers;
    sample["text"] = text;
    sample["answer"] = answer;
    sample["exact_match"] = good ? 1 : 0;
    options_.on_sample(sample);
  }

  const Task& task_;
  const Tokenizer& tokenizer_;
  Scorer& scorer_;
  const RunOptions& options_;
  std::vector<Asked> asked_;
  std::map<Metric, std::vector<double>> worth_;
};

}  // namespace

TaskResult run_task(const Task& task, const Tokenizer& tokenizer, Scorer& scorer,
                    const RunOptions& options) {
  return Runner(task, tokenizer, scorer, options).run();
}

}  // namespace trireme::tasks
