// SPDX-License-Identifier: Apache-2.0
// Decks that the tests start from, and the message of an expected error.
#pragma once

#include <string>

#include <boost/test/unit_test.hpp>

#include "trireme/core/error.hpp"
#include "trireme/deck/deck.hpp"

namespace trireme::test {

/// The least that a deck must say; tests append lines.
inline const std::string kLeast =
    "num_layers: 4\n"
    "hidden_size: 64\n"
    "num_attention_heads: 4\n"
    "seq_length: 32\n"
    "train_iters: 100\n"
    "lr: 1e-3\n"
    "train_micro_batch_size_per_gpu: 2\n"
    "data_path: data/x.h5\n";  // 8 lines

/// The message of the Error that f throws; fails the test if it throws none.
template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  BOOST_ERROR("no error was thrown");
  return "";
}

inline std::string parse_error(const std::string& text) {
  return message_of([&] { static_cast<void>(parse_deck(text, "x.yml")); });
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace trireme::test

#define CHECK_CONTAINS(text, part)                                     \
  do {                                                                 \
    const std::string shown_ = (text);                                 \
    BOOST_CHECK_MESSAGE(::trireme::test::contains(shown_, part),       \
                        "expected '" << (part) << "' in: " << shown_); \
  } while (false)
