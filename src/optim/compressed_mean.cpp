// SPDX-License-Identifier: Apache-2.0
// Signs and scales of arrays, and how they travel.
#include "trireme/optim/compressed_mean.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "trireme/core/round_up.hpp"
#include "trireme/optim/layout.hpp"

namespace trireme {

namespace {

constexpr std::int64_t kBits = 8;

std::int64_t bytes_of(std::int64_t elements) { return (elements + kBits - 1) / kBits; }

/// √(Σ x² / n), added in eight lanes, so that the bits depend on the array alone.
template <class T>
double root_mean_square(std::span<const T> x) {
  std::array<double, 8> lanes{};
  const std::size_t whole = x.size() / lanes.size() * lanes.size();
  for (std::size_t i = 0; i < whole; i += lanes.size()) {
    for (std::size_t k = 0; k < lanes.size(); ++k) {
      const auto value = static_cast<double>(x[i + k]);
      lanes[k] += value * value;
    }
  }
  for (std::size_t i = whole; i < x.size(); ++i) {
    lanes[i - whole] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return x.empty() ? 0 : std::sqrt(sum / static_cast<double>(x.size()));
}

template <class T>
std::span<T> elements(const View& view) {
  return {view.data<T>(), static_cast<std::size_t>(view.count())};
}

template <class T>
T scale_at(const std::byte* block, std::size_t array) {
  T scale{};
  std::memcpy(&scale, block + array * sizeof(T), sizeof(T));
  return scale;
}

template <class T>
void put_scale(T scale, std::byte* block, std::size_t array) {
  std::memcpy(block + array * sizeof(T), &scale, sizeof(T));
}

}  // namespace

std::int64_t chunk_of(std::int64_t count, int ranks) {
  return round_up(count, kBits * ranks) / ranks;
}

Chunk chunk_of(std::int64_t count, int rank, int ranks) {
  const std::int64_t size = chunk_of(count, ranks);
  const std::int64_t first = std::min(count, rank * size);
  return {first, std::min(size, count - first)};
}

template <class T>
T compress_signs(std::span<const T> x, std::span<T> error, std::byte* bits) {
  for (std::size_t i = 0; i < x.size(); ++i) error[i] += x[i];
  const T scale = static_cast<T>(root_mean_square(std::span<const T>(error)));
  for (std::size_t i = 0; i < x.size(); i += kBits) {
    const std::size_t n = std::min<std::size_t>(kBits, x.size() - i);
    unsigned byte = 0;
    for (std::size_t k = 0; k < n; ++k) {
      const bool positive = !(error[i + k] < T{0});
      byte |= static_cast<unsigned>(positive) << k;
      error[i + k] -= positive ? scale : -scale;
    }
    bits[i / kBits] = static_cast<std::byte>(byte);
  }
  return scale;
}

template <class T>
void expand_signs(const std::byte* bits, T scale, std::span<T> x, bool add) {
  for (std::size_t i = 0; i < x.size(); i += kBits) {
    const std::size_t n = std::min<std::size_t>(kBits, x.size() - i);
    const auto byte = std::to_integer<unsigned>(bits[i / kBits]);
    for (std::size_t k = 0; k < n; ++k) {
      const T value = (byte >> k & 1U) != 0 ? scale : -scale;
      x[i + k] = add ? x[i + k] + value : value;
    }
  }
}

template float compress_signs(std::span<const float>, std::span<float>, std::byte*);
template double compress_signs(std::span<const double>, std::span<double>, std::byte*);
template void expand_signs(const std::byte*, float, std::span<float>, bool);
template void expand_signs(const std::byte*, double, std::span<double>, bool);

CompressedMean::CompressedMean(const Exec& ex, Communicator& ranks,
                               std::vector<std::int64_t> counts, DType type)
    : ex_(ex), ranks_(ranks), counts_(std::move(counts)), type_(type) {
  std::int64_t all = 0;
  std::int64_t served = 0;
  block_ = static_cast<std::int64_t>(counts_.size() * size_of(type));
  for (const std::int64_t n : counts_) {
    places_.push_back(all);
    server_places_.push_back(served);
    all += n;
    served += chunk_of(n, ranks.rank(), ranks.size()).count;
    block_ += bytes_of(chunk_of(n, ranks.size()));
    most_ = std::max(most_, n);
  }
  worker_errors_ = ex.zeros(type, Shape{all});
  server_errors_ = ex.zeros(type, Shape{served});
}

View CompressedMean::worker_error(std::size_t i) const {
  return flat_window(worker_errors_, places_[i], counts_[i]);
}

View CompressedMean::server_error(std::size_t i) const {
  return flat_window(server_errors_, server_places_[i],
                     chunk_of(counts_[i], ranks_.rank(), ranks_.size()).count);
}

std::size_t CompressedMean::bytes() const {
  return worker_errors_.view().bytes() + server_errors_.view().bytes();
}

std::int64_t CompressedMean::traffic() const { return 2 * block_ * ranks_.size(); }

// A block begins with the scales of all arrays. The bits of a chunk of each array follow.
void CompressedMean::average(std::span<const View> arrays) const {
  TRM_CHECK(arrays.size() == counts_.size(), "{} arrays instead of {}", arrays.size(),
            counts_.size());
  const int size = ranks_.size();
  const Tensor sent = ex_.zeros(DType::u8, Shape{block_ * size});
  const Tensor received = ex_.make(DType::u8, Shape{block_ * size});
  const bool computes = ex_.device.kind() != DeviceKind::dry;
  const auto by_type = [&](auto&& f) {
    if (!computes) return;
    if (type_ == DType::f64) {
      f(double{});
    } else {
      f(float{});
    }
  };
  auto* const out = static_cast<std::byte*>(sent.view().raw());
  auto* const in = static_cast<std::byte*>(received.view().raw());
  by_type([&]<class T>(T) { compress_for_servers<T>(arrays, out); });
  std::vector<RequestPtr> requests;
  for (int rank = 0; rank < size; ++rank) {
    requests.push_back(
        ranks_.start_receive(flat_window(received, rank * block_, block_), rank, 0));
  }
  for (int step = 0; step < size; ++step) {  // not all send to rank 0 first
    const int rank = (ranks_.rank() + step) % size;
    requests.push_back(ranks_.start_send(flat_window(sent, rank * block_, block_), rank, 0));
  }
  for (const RequestPtr& r : requests) r->wait();
  const View mine = flat_window(sent, ranks_.rank() * block_, block_);
  by_type([&]<class T>(T) { serve<T>(in, static_cast<std::byte*>(mine.raw())); });
  ranks_.all_gather(mine, sent);
  by_type([&]<class T>(T) { expand<T>(out, arrays); });
}

template <class T>
void CompressedMean::compress_for_servers(std::span<const View> arrays, std::byte* sent) const {
  const int size = ranks_.size();
  std::vector<std::byte> bits(static_cast<std::size_t>(bytes_of(most_)));
  std::int64_t at = static_cast<std::int64_t>(counts_.size() * sizeof(T));
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::span<T> x = elements<T>(arrays[i]);
    const T scale = compress_signs<T>(x, elements<T>(worker_error(i)), bits.data());
    for (int rank = 0; rank < size; ++rank) {
      std::byte* const block = sent + rank * block_;
      put_scale(scale, block, i);
      const Chunk chunk = chunk_of(counts_[i], rank, size);
      if (chunk.count == 0) continue;
      std::memcpy(block + at, bits.data() + chunk.first / kBits,
                  static_cast<std::size_t>(bytes_of(chunk.count)));
    }
    at += bytes_of(chunk_of(counts_[i], size));
  }
}

// Ranks are added in order, so that the bits of a mean depend on nothing else.
template <class T>
void CompressedMean::serve(const std::byte* received, std::byte* sent) const {
  const int size = ranks_.size();
  std::vector<T> mean(static_cast<std::size_t>(chunk_of(most_, size)));
  std::int64_t at = static_cast<std::int64_t>(counts_.size() * sizeof(T));
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::span<T> error = elements<T>(server_error(i));
    const std::span<T> chunk = std::span(mean).first(error.size());
    for (int rank = 0; rank < size; ++rank) {
      const std::byte* const block = received + rank * block_;
      expand_signs<T>(block + at, scale_at<T>(block, i) / static_cast<T>(size), chunk,
                      rank > 0);
    }
    put_scale(compress_signs<T>(chunk, error, sent + at), sent, i);
    at += bytes_of(chunk_of(counts_[i], size));
  }
}

template <class T>
void CompressedMean::expand(const std::byte* gathered, std::span<const View> arrays) const {
  const int size = ranks_.size();
  std::int64_t at = static_cast<std::int64_t>(counts_.size() * sizeof(T));
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::span<T> x = elements<T>(arrays[i]);
    for (int rank = 0; rank < size; ++rank) {
      const std::byte* const block = gathered + rank * block_;
      const Chunk chunk = chunk_of(counts_[i], rank, size);
      expand_signs<T>(block + at, scale_at<T>(block, i),
                      x.subspan(static_cast<std::size_t>(chunk.first),
                                static_cast<std::size_t>(chunk.count)),
                      false);
    }
    at += bytes_of(chunk_of(counts_[i], size));
  }
}

}  // namespace trireme
