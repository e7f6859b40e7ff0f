// SPDX-License-Identifier: Apache-2.0
// Adds up the shares of ranks without listing a rank's pieces for each of them.
#include "checkpoint_plan.hpp"

#include <algorithm>
#include <map>

#include "trireme/checkpoint/piece.hpp"
#include "trireme/checkpoint/saver.hpp"

namespace trireme {

namespace {

/// Bytes of a rank's share.
class Share {
 public:
  void add(std::size_t piece_bytes) {
    written_ += static_cast<std::int64_t>(piece_bytes);
    in_copy_ += static_cast<std::int64_t>(bytes_in_copy(piece_bytes));
  }
  [[nodiscard]] std::int64_t written() const { return written_; }
  [[nodiscard]] std::int64_t copied(const Deck& deck) const {
    const bool on_gpu = deck.device == Deck::ComputeDevice::cuda;
    const bool shared = deck.checkpoint_writers_per_node > 0;
    if (!deck.checkpoint_async && !shared && !on_gpu) return 0;
    if (!on_gpu || !shared) return in_copy_;
    const auto ring = pinned_ring_bytes(static_cast<std::size_t>(in_copy_));
    return in_copy_ + static_cast<std::int64_t>(ring);
  }

 private:
  std::int64_t written_ = 0;
  std::int64_t in_copy_ = 0;
};

Share share_of_own(const Trainer& trainer, bool with_optimizer) {
  Share share;
  for (const Piece& p : writing_share(trainer.held(with_optimizer))) share.add(p.data.bytes());
  return share;
}

/// The shares of all ranks along dp, where these are more than one.
std::vector<Share> shares_along_dp(const Trainer& trainer, const MeshShape& shape,
                                   const MeshIndex& at, bool with_optimizer) {
  std::vector<Share> shares(static_cast<std::size_t>(shape.dp));
  // Pieces that replicas share, by the number of replicas. A box without replicas is its rank's
  // own, and own_box_bytes() counts it.
  std::map<int, std::vector<ConstView>> shared;
  for (const HeldPiece& held : trainer.held(with_optimizer)) {
    if (held.replicas > 1) shared[held.replicas].push_back(held.piece.data);
  }
  for (const auto& [replicas, items] : shared) {
    // Replicas are numbered along dp, or along dp and tp with tp fastest.
    const int of_a_dp = replicas / shape.dp;
    const int own = of_a_dp > 1 ? at.tp : 0;
    visit_shares(items, replicas, [&, &views = items](int replica, const Rows& rows) {
      if (replica % of_a_dp != own) return;
      const ConstView& item = views[rows.item];
      const auto row_bytes = item.bytes() / static_cast<std::size_t>(item.shape()[0]);
      shares[static_cast<std::size_t>(replica / of_a_dp)].add(
          row_bytes * static_cast<std::size_t>(rows.count));
    });
  }
  for (int dp = 0; dp < shape.dp; ++dp) {
    for (const std::int64_t bytes : trainer.own_box_bytes(with_optimizer, dp)) {
      shares[static_cast<std::size_t>(dp)].add(static_cast<std::size_t>(bytes));
    }
  }
  return shares;
}

}  // namespace

std::int64_t checkpoint_copy(const Deck& deck, const Trainer& trainer) {
  return share_of_own(trainer, !deck.no_save_optim).copied(deck);
}

std::int64_t CheckpointShares::add(const MeshIndex& at, const Trainer& trainer) {
  std::int64_t most = 0;
  const bool with_optimizer = !deck_.no_save_optim;
  const auto shares = shape_.dp == 1 ? std::vector<Share>{share_of_own(trainer, with_optimizer)}
                                     : shares_along_dp(trainer, shape_, at, with_optimizer);
  for (int dp = 0; dp < shape_.dp; ++dp) {
    const Share& share = shares[static_cast<std::size_t>(dp)];
    const int rank = rank_of(shape_, {.dp = dp, .tp = at.tp, .pp = at.pp});
    bytes_[static_cast<std::size_t>(rank)] += share.written();
    most = std::max(most, share.copied(deck_));
  }
  return most;
}

CheckpointPlan CheckpointShares::sum(int ranks_per_node) const {
  std::map<std::int64_t, std::int64_t> writers;  // bytes by writer
  for (std::int64_t r = 0; r < shape_.size(); ++r) {
    const std::int64_t bytes = bytes_[static_cast<std::size_t>(r)];
    if (bytes > 0) writers[writer_of(r, ranks_per_node)] += bytes;
  }
  CheckpointPlan plan;
  for (const auto& [rank, bytes] : writers) {
    plan.bytes += bytes;
    plan.least = plan.writers == 0 ? bytes : std::min(plan.least, bytes);
    plan.most = std::max(plan.most, bytes);
    ++plan.writers;
  }
  return plan;
}

std::int64_t CheckpointShares::writer_of(std::int64_t rank, std::int64_t node_size) const {
  const std::int64_t wanted = deck_.checkpoint_writers_per_node;
  if (wanted == 0) return rank;
  const std::int64_t node = rank / node_size;
  const std::int64_t size = std::min(node_size, shape_.size() - node * node_size);
  return node * node_size + writer_group(rank % node_size, size, wanted);
}

}  // namespace trireme
