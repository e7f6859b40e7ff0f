// SPDX-License-Identifier: Apache-2.0
// Communicator over MPI. Every return code passes through check().
#include "trireme/comm/mpi.hpp"

#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <exception>

#include <mpi.h>
#if __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include "trireme/comm/blocks.hpp"
#include "trireme/comm/launcher.hpp"

#include "mpi_calls.hpp"
#include "mpi_collectives.hpp"
#include "scratch.hpp"

namespace trireme {

namespace {

using mpi::check;
using mpi::count_of;
using mpi::in_parts;
using mpi::MpiRequest;
using mpi::op_of;
using mpi::summable_type_of;
using mpi::type_of;

bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(MPI_Comm comm, bool owned) : comm_(comm), owned_(owned) {
    check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;
  ~MpiCommunicator() override {
    int finalized = 0;
    MPI_Finalized(&finalized);
    // Freeing is collective, so a rank that alone unwinds from an error must not free.
    if (owned_ && finalized == 0 && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  void set_name(NamedRanks named) {
    group_ = std::make_shared<const NamedRanks>(std::move(named));
  }

  void all_reduce(const View& data, Reduction op) override {
    const WaitScope wait("all_reduce", group_, ++collectives_);
    if (is_half(data.dtype())) return all_reduce_half(data, op);
    in_parts(data, [&](void* p, int n) {
      check(MPI_Allreduce(MPI_IN_PLACE, p, n, summable_type_of(data.dtype()), op_of(op), comm_),
            "MPI_Allreduce");
    });
  }

  void all_gather(const ConstView& from, const View& to) override {
    const WaitScope wait("all_gather", group_, ++collectives_);
    check_all_gather(from, to, rank_, size_);
    const int count = count_of(from);
    const MPI_Datatype type = type_of(from.dtype());
    check(MPI_Allgather(own_part(from, to), count, type, to.raw(), count, type, comm_),
          "MPI_Allgather");
  }

  void reduce_scatter(const ConstView& from, const View& to) override {
    const WaitScope wait("reduce_scatter", group_, ++collectives_);
    if (is_half(to.dtype())) return start_reduce_scatter(from, to, false, {})->wait();
    check_reduce_scatter(from, to, size_);
    check(MPI_Reduce_scatter_block(from.raw(), to.raw(), count_of(to),
                                   summable_type_of(to.dtype()), MPI_SUM, comm_),
          "MPI_Reduce_scatter_block");
  }

  RequestPtr start_reduce_scatter(const ConstView& from, const View& to, bool accumulate,
                                  const View& room) override {
    return collective("reduce_scatter",
                      mpi::start_reduce_scatter(comm_, from, to, accumulate, room, scratch_));
  }

  RequestPtr start_all_gather(const ConstView& from, const View& to) override {
    check_all_gather(from, to, rank_, size_);
    const int count = count_of(from);
    const MPI_Datatype type = type_of(from.dtype());
    std::vector<MPI_Request> parts(1);
    check(MPI_Iallgather(own_part(from, to), count, type, to.raw(), count, type, comm_,
                         parts.data()),
          "MPI_Iallgather");
    return collective("all_gather", std::make_unique<MpiRequest>(std::move(parts)));
  }

  void broadcast(const View& data, int root) override {
    const WaitScope wait("broadcast", group_, ++collectives_);
    in_parts(data, [&](void* p, int n) {
      check(MPI_Bcast(p, n, type_of(data.dtype()), root, comm_), "MPI_Bcast");
    });
  }

  RequestPtr start_send(const ConstView& data, int to, int tag) override {
    std::vector<MPI_Request> parts;
    in_parts(data, [&](const void* p, int n) {
      check(MPI_Isend(p, n, type_of(data.dtype()), to, tag, comm_, &parts.emplace_back()),
            "MPI_Isend");
    });
    return message("send", std::move(parts), to);
  }

  RequestPtr start_receive(const View& data, int from, int tag) override {
    std::vector<MPI_Request> parts;
    in_parts(data, [&](void* p, int n) {
      check(MPI_Irecv(p, n, type_of(data.dtype()), from, tag, comm_, &parts.emplace_back()),
            "MPI_Irecv");
    });
    return message("receive", std::move(parts), from);
  }

  void barrier() override {
    const WaitScope wait("barrier", group_, ++collectives_);
    check(MPI_Barrier(comm_), "MPI_Barrier");
  }

  std::unique_ptr<Communicator> split(int color, int key) override {
    const WaitScope wait("split", group_, ++collectives_);
    MPI_Comm part = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, color, key, &part), "MPI_Comm_split");
    return std::make_unique<MpiCommunicator>(part, true);
  }

  std::vector<std::string> gather_text(const std::string& text, int root) override {
    const WaitScope wait("gather", group_, ++collectives_);
    int length = static_cast<int>(text.size());
    std::vector<int> lengths(static_cast<std::size_t>(rank_ == root ? size_ : 0));
    check(MPI_Gather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, root, comm_),
          "MPI_Gather");
    std::vector<int> starts;
    int total = 0;
    for (const int n : lengths) {
      starts.push_back(total);
      total += n;
    }
    std::string all(static_cast<std::size_t>(total), '\0');
    check(MPI_Gatherv(text.data(), length, MPI_CHAR, all.data(), lengths.data(), starts.data(),
                      MPI_CHAR, root, comm_),
          "MPI_Gatherv");
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      texts.push_back(all.substr(static_cast<std::size_t>(starts[i]),
                                 static_cast<std::size_t>(lengths[i])));
    }
    return texts;
  }

 private:
  [[nodiscard]] RequestPtr collective(const char* operation, RequestPtr request) {
    return std::make_unique<mpi::NamedRequest>(std::move(request), operation, group_,
                                               ++collectives_);
  }
  [[nodiscard]] RequestPtr message(const char* operation, std::vector<MPI_Request> parts,
                                   int peer) const {
    const std::vector<int>& ranks = group_->ranks;
    const auto at = static_cast<std::size_t>(peer);
    return std::make_unique<mpi::NamedRequest>(std::make_unique<MpiRequest>(std::move(parts)),
                                               operation, group_, 0,
                                               at < ranks.size() ? ranks[at] : peer);
  }
  /// Reduces a long array by a scatter and a gather, which move half of fp32's bytes.
  void all_reduce_half(const View& data, Reduction op) {
    constexpr std::int64_t kLong = 8192;
    const View flat = data.reshape(Shape{data.count()});
    std::int64_t done = 0;
    if (op == Reduction::sum && flat.count() >= kLong) {
      const std::int64_t block = flat.count() / size_;
      done = block * size_;
      const View all = flat.slice_cols(0, done);
      const View mine = all.slice_cols(block * rank_, block);
      start_reduce_scatter(all, mine, false, {})->wait();
      all_gather(mine, all);
    }
    if (done == flat.count()) return;
    mpi::all_reduce_half(comm_, flat.slice_cols(done, flat.count() - done), op, scratch_);
  }
  /// The argument by which MPI takes this rank's block of a gather.
  [[nodiscard]] const void* own_part(const ConstView& from, const View& to) const {
    return from.raw() == block_of(to, rank_, size_).raw() ? MPI_IN_PLACE : from.raw();
  }

  MPI_Comm comm_;
  bool owned_;
  std::shared_ptr<ScratchPool> scratch_ = std::make_shared<ScratchPool>();
  std::shared_ptr<const NamedRanks> group_ = std::make_shared<const NamedRanks>();
  std::int64_t collectives_ = 0;  ///< called so far
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace

MpiSession::MpiSession(int& argc, char**& argv) {
  int provided = 0;
  check(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  TRM_REQUIRE(provided >= MPI_THREAD_FUNNELED,
              "this MPI library ({}) does not allow other threads; trireme reads data in one",
              mpi_version());
  world_ = world_communicator();
  const LaunchedProcesses launched = launched_processes(std::getenv);
  if (world_->size() == 1 && launched.count > 1) {
    world_.reset();
    MPI_Finalize();
    throw Error(fmt::format(
        "the launcher started {} processes ({}), but MPI sees one: the launcher and this "
        "program's MPI library ({}) do not belong together. Start with that library's own "
        "mpirun, or with srun --mpi=pmix",
        launched.count, launched.variable, mpi_version()));
  }
}

MpiSession::~MpiSession() {
  world_.reset();
  MPI_Finalize();
}

std::unique_ptr<Communicator> MpiSession::node() const {
  MPI_Comm comm = MPI_COMM_NULL;
  check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &comm),
        "MPI_Comm_split_type");
  auto node = std::make_unique<MpiCommunicator>(comm, true);
  node->set_name({"the node's ranks", {}});
  return node;
}

std::unique_ptr<Communicator> world_communicator() {
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  auto world = std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, false);
  world->set_name({"world", {}});
  return world;
}

void name_ranks(Communicator& communicator, NamedRanks named) {
  if (auto* mpi = dynamic_cast<MpiCommunicator*>(&communicator.host())) {
    mpi->set_name(std::move(named));
  }
}

void abort_all_ranks(int code) {
  int initialized = 0;
  int finalized = 0;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized != 0 && finalized == 0) MPI_Abort(MPI_COMM_WORLD, code);
  std::exit(code);
}

std::string mpi_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  return short_mpi_version({text.data(), static_cast<std::size_t>(length)});
}

std::string short_mpi_version(std::string_view library_version) {
  std::string words;  // the first line, with single blanks
  for (const char c : library_version.substr(0, library_version.find_first_of(",\n\r"))) {
    const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (!blank) {
      words += c;
    } else if (!words.empty() && words.back() != ' ') {
      words += ' ';
    }
  }
  while (words.ends_with(' ')) words.pop_back();
  constexpr std::string_view kTitle = "MPI VERSION : ";  // Cray's
  if (words.starts_with(kTitle)) words.erase(0, kTitle.size());
  for (const std::string_view label : {" Version: ", " Version : "}) {  // MPICH's, MVAPICH's
    const std::size_t at = words.find(label);
    if (at != std::string::npos) words.replace(at, label.size(), " ");
  }
  return words;
}

bool mpi_takes_gpu_memory() {
#if defined(MPIX_CUDA_AWARE_SUPPORT) && MPIX_CUDA_AWARE_SUPPORT
  return MPIX_Query_cuda_support() == 1;
#else
  return false;
#endif
}

}  // namespace trireme
