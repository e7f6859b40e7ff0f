// SPDX-License-Identifier: Apache-2.0
// Threads of each rank read and encode the rank's units. Rank 0 takes pieces in the order of
// units. Another rank announces its next pieces by a message of fixed size. Rank 0 asks for
// them, or says that it wants no more: an error therefore ends all ranks soon.
#include "prepare_ranks.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <queue>
#include <thread>

namespace trireme {

namespace {

constexpr int kTag = 0;

/// Waits without taking the processor from threads that encode.
void wait_gently(const RequestPtr& request) {
  constexpr std::chrono::microseconds kLongest{1000};
  std::chrono::microseconds pause{10};
  while (!request->test()) {
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kLongest);
  }
}

/// Announces pieces, or the error that stands in their place.
struct Notice {
  std::int64_t bytes = 0;
  std::int64_t ends_unit = 0;
  std::int64_t is_error = 0;
  std::int64_t system_error = 0;
  static constexpr std::int64_t kWords = 4;
};

View view_of(Notice& notice) { return {&notice, DType::i64, Shape{Notice::kWords}}; }
View view_of(std::int64_t& word) { return {&word, DType::i64, Shape{1}}; }
View view_of(std::string& bytes) { return {bytes.data(), DType::u8, Shape{std::ssize(bytes)}}; }

/// Sends all pieces of this rank, until rank 0 wants no more.
void send_pieces(TextPool& pool, bool wide, Communicator& world) {
  for (;;) {
    std::optional<TextPool::Delivery> delivery;
    const auto error = failure_of([&] { delivery = pool.next(); });
    if (!error && !delivery) return;
    std::string bytes;
    Notice notice;
    if (error) {
      bytes = error->what();
      notice.is_error = 1;
      notice.system_error = error->system_error();
    } else {
      pack(delivery->pieces, wide, bytes);
      notice.ends_unit = delivery->ends_unit ? 1 : 0;
    }
    notice.bytes = std::ssize(bytes);
    wait_gently(world.start_send(view_of(notice), 0, kTag));
    std::int64_t wanted = 0;
    wait_gently(world.start_receive(view_of(wanted), 0, kTag));
    if (wanted == 0) return;
    if (!bytes.empty()) wait_gently(world.start_send(view_of(bytes), 0, kTag));
    if (error) return;
  }
}

/// The pieces of other ranks, on rank 0.
class Senders {
 public:
  Senders(const std::vector<int>& owners, bool wide, Communicator& world)
      : left_(static_cast<std::size_t>(world.size())), wide_(wide), world_(world) {
    for (const int owner : owners) ++left_[static_cast<std::size_t>(owner)];
  }

  TextPool::Delivery next(int rank) {
    Notice notice = announced(rank);
    std::int64_t& left = left_[static_cast<std::size_t>(rank)];
    if (notice.is_error != 0) left = 0;
    answer(rank, 1);
    std::string bytes(static_cast<std::size_t>(notice.bytes), '\0');
    if (!bytes.empty()) wait_gently(world_.start_receive(view_of(bytes), rank, kTag));
    if (notice.is_error != 0) throw Error(bytes, static_cast<int>(notice.system_error));
    if (notice.ends_unit != 0) --left;
    return {.pieces = unpack(bytes, wide_), .ends_unit = notice.ends_unit != 0};
  }

  /// Ends all ranks that have pieces left.
  void stop() {
    for (int rank = 1; rank < world_.size(); ++rank) {
      if (std::exchange(left_[static_cast<std::size_t>(rank)], 0) == 0) continue;
      (void)announced(rank);
      answer(rank, 0);
    }
  }

 private:
  Notice announced(int rank) {
    Notice notice;
    wait_gently(world_.start_receive(view_of(notice), rank, kTag));
    return notice;
  }
  void answer(int rank, std::int64_t wanted) {
    wait_gently(world_.start_send(view_of(wanted), rank, kTag));
  }

  std::vector<std::int64_t> left_;  ///< units, by rank
  bool wide_;
  Communicator& world_;
};

/// Rank 0's part.
void take_pieces(TextPool& pool, const std::vector<int>& owners, Senders& senders,
                 const TakePieces& take) {
  for (std::int64_t unit = 0; unit < std::ssize(owners); ++unit) {
    const int owner = owners[static_cast<std::size_t>(unit)];
    for (bool ended = false; !ended;) {
      const TextPool::Delivery delivery =
          owner == 0 ? pool.next().value() : senders.next(owner);
      take(unit, delivery.pieces);
      ended = delivery.ends_unit;
    }
  }
}

std::int64_t number_in(std::string_view text) {
  std::int64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

}  // namespace

std::vector<TextInput> share_inputs(const std::vector<TextInput>& found, Communicator& world) {
  constexpr std::size_t kFields = 5;  // each ends with a NUL, which no path has
  std::string text;
  for (const TextInput& input : found) {
    text += input.path;
    for (const std::int64_t field :
         {input.bytes, static_cast<std::int64_t>(input.jsonl), input.start,
          static_cast<std::int64_t>(input.compression)}) {
      text += fmt::format("{}{}", '\0', field);
    }
    text += '\0';
  }
  text = world.broadcast_text(text, 0);
  if (world.rank() == 0) return found;
  std::vector<TextInput> inputs;
  std::array<std::string_view, kFields> fields;
  std::size_t at = 0;
  for (std::string_view left = text; !left.empty();) {
    const std::size_t end = left.find('\0');
    fields[at] = left.substr(0, end);
    left.remove_prefix(end + 1);
    if (++at < kFields) continue;
    at = 0;
    inputs.push_back({.path = std::string(fields[0]),
                      .bytes = number_in(fields[1]),
                      .jsonl = number_in(fields[2]) != 0,
                      .start = number_in(fields[3]),
                      .compression = static_cast<Compression>(number_in(fields[4]))});
  }
  return inputs;
}

std::vector<int> assign_units(const TextBlocks& blocks, int ranks) {
  using Load = std::pair<std::int64_t, int>;
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (int rank = 0; rank < ranks; ++rank) loads.emplace(0, rank);
  std::vector<int> owners;
  for (std::int64_t k = 0; k < blocks.count(); ++k) {
    const TextBlocks::Place place = blocks.place(k);
    if (blocks.inputs()[place.input].path == "-") {
      owners.push_back(0);
      continue;
    }
    const auto [bytes, rank] = loads.top();
    loads.pop();
    loads.emplace(bytes + place.end - place.begin, rank);
    owners.push_back(rank);
  }
  return owners;
}

void gather_pieces(const TextBlocks& blocks, const PoolOptions& options, const TakePieces& take,
                   Communicator& world) {
  const std::vector<int> owners = assign_units(blocks, world.size());
  std::vector<std::int64_t> mine;
  for (std::int64_t unit = 0; unit < std::ssize(owners); ++unit) {
    if (owners[static_cast<std::size_t>(unit)] == world.rank()) mine.push_back(unit);
  }
  std::optional<Error> error;
  {
    TextPool pool(blocks, std::move(mine), options);
    if (world.rank() != 0) {
      send_pieces(pool, options.wide, world);
    } else {
      Senders senders(owners, options.wide, world);
      error = failure_of([&] { take_pieces(pool, owners, senders, take); });
      if (error) senders.stop();
    }
  }
  world.agree(error);
}

}  // namespace trireme
