// SPDX-License-Identifier: Apache-2.0
// Communicator over MPI. Every return code passes through check().
#include "trireme/comm/mpi.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>

#include <mpi.h>

namespace trireme {

namespace {

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw Error(fmt::format("{} failed: {}", what,
                          std::string_view(text.data(), static_cast<std::size_t>(length))));
}

MPI_Datatype mpi_type(DType t) {
  switch (t) {
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::i32:
      return MPI_INT32_T;
    case DType::i64:
      return MPI_INT64_T;
    case DType::u8:
      return MPI_UINT8_T;
    case DType::u16:
      return MPI_UINT16_T;
    case DType::u32:
      return MPI_UINT32_T;
    case DType::u64:
      return MPI_UINT64_T;
    case DType::f16:
    case DType::bf16:
      return MPI_UINT16_T;  // can be moved as they are, not summed
  }
  throw Error("unknown element type");
}

MPI_Datatype summable_type(DType t) {
  TRM_CHECK(t != DType::f16 && t != DType::bf16, "MPI cannot sum {}", name_of(t));
  return mpi_type(t);
}

MPI_Op mpi_op(Reduction op) {
  switch (op) {
    case Reduction::sum:
      return MPI_SUM;
    case Reduction::max:
      return MPI_MAX;
    case Reduction::min:
      return MPI_MIN;
  }
  throw Error("unknown reduction");
}

/// MPI counts are ints: longer arrays go in parts.
constexpr std::int64_t kMaxCount = std::int64_t{1} << 30;

/// f(first element's address, count) on parts of at most kMaxCount elements.
template <class ViewType, class F>
void in_parts(const ViewType& v, F&& f) {
  TRM_CHECK(v.contiguous(), "an exchange of a strided window {}", v.shape().str());
  using Byte = std::conditional_t<std::is_same_v<ViewType, View>, std::byte, const std::byte>;
  auto* base = static_cast<Byte*>(v.raw());
  const std::int64_t n = v.count();
  for (std::int64_t at = 0; at < n; at += kMaxCount) {
    f(base + static_cast<std::size_t>(at) * size_of(v.dtype()),
      static_cast<int>(std::min(kMaxCount, n - at)));
  }
}

class MpiRequest : public Request {
 public:
  explicit MpiRequest(std::vector<MPI_Request> parts) : parts_(std::move(parts)) {}
  bool test() override {
    int done = 0;
    check(MPI_Testall(count(), parts_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
    return done != 0;
  }
  void wait() override {
    check(MPI_Waitall(count(), parts_.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  }

 private:
  [[nodiscard]] int count() const { return static_cast<int>(parts_.size()); }
  std::vector<MPI_Request> parts_;
};

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
    // Freeing is collective: not while one rank alone unwinds from an error.
    if (owned_ && finalized == 0 && std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  void all_reduce(const View& data, Reduction op) override {
    in_parts(data, [&](void* p, int n) {
      check(MPI_Allreduce(MPI_IN_PLACE, p, n, summable_type(data.dtype()), mpi_op(op), comm_),
            "MPI_Allreduce");
    });
  }

  RequestPtr start_all_reduce(const View& data, Reduction op) override {
    std::vector<MPI_Request> parts;
    in_parts(data, [&](void* p, int n) {
      check(MPI_Iallreduce(MPI_IN_PLACE, p, n, summable_type(data.dtype()), mpi_op(op), comm_,
                           &parts.emplace_back()),
            "MPI_Iallreduce");
    });
    return std::make_unique<MpiRequest>(std::move(parts));
  }

  void all_gather(const ConstView& from, const View& to) override {
    check_blocks(from, to);
    check(MPI_Allgather(from.raw(), block_count(from), mpi_type(from.dtype()), to.raw(),
                        block_count(from), mpi_type(from.dtype()), comm_),
          "MPI_Allgather");
  }

  void reduce_scatter(const ConstView& from, const View& to) override {
    check_blocks(to, from);
    check(MPI_Reduce_scatter_block(from.raw(), to.raw(), block_count(to),
                                   summable_type(to.dtype()), MPI_SUM, comm_),
          "MPI_Reduce_scatter_block");
  }

  void broadcast(const View& data, int root) override {
    in_parts(data, [&](void* p, int n) {
      check(MPI_Bcast(p, n, mpi_type(data.dtype()), root, comm_), "MPI_Bcast");
    });
  }

  RequestPtr start_send(const ConstView& data, int to, int tag) override {
    std::vector<MPI_Request> parts;
    in_parts(data, [&](const void* p, int n) {
      check(MPI_Isend(p, n, mpi_type(data.dtype()), to, tag, comm_, &parts.emplace_back()),
            "MPI_Isend");
    });
    return std::make_unique<MpiRequest>(std::move(parts));
  }

  RequestPtr start_receive(const View& data, int from, int tag) override {
    std::vector<MPI_Request> parts;
    in_parts(data, [&](void* p, int n) {
      check(MPI_Irecv(p, n, mpi_type(data.dtype()), from, tag, comm_, &parts.emplace_back()),
            "MPI_Irecv");
    });
    return std::make_unique<MpiRequest>(std::move(parts));
  }

  void barrier() override { check(MPI_Barrier(comm_), "MPI_Barrier"); }

  std::unique_ptr<Communicator> split(int color, int key) override {
    MPI_Comm part = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, color, key, &part), "MPI_Comm_split");
    return std::make_unique<MpiCommunicator>(part, true);
  }

  std::vector<std::string> gather_text(const std::string& text, int root) override {
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
  void check_blocks(const ConstView& block, const ConstView& all) const {
    TRM_CHECK(block.contiguous() && all.contiguous() && block.dtype() == all.dtype() &&
                  all.count() == block.count() * size_,
              "blocks of {} in {} over {} ranks", block.shape().str(), all.shape().str(),
              size_);
  }
  [[nodiscard]] static int block_count(const ConstView& v) {
    TRM_CHECK(v.count() < kMaxCount, "a block of {} elements is too large", v.count());
    return static_cast<int>(v.count());
  }

  MPI_Comm comm_;
  bool owned_;
  int rank_ = 0;
  int size_ = 1;
};

/// Processes that the launcher says it started, 0 if it says nothing.
int launched_processes(std::string& variable) {
  int most = 0;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS",
                           "MV2_COMM_WORLD_SIZE", "FLUX_JOB_SIZE"}) {
    const char* text = std::getenv(name);
    int n = 0;
    if (text == nullptr ||
        std::from_chars(text, text + std::strlen(text), n).ec != std::errc()) {
      continue;
    }
    if (n > most) {
      most = n;
      variable = name;
    }
  }
  return most;
}

}  // namespace

MpiSession::MpiSession(int& argc, char**& argv) {
  int provided = 0;
  check(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  TRM_REQUIRE(
      provided >= MPI_THREAD_FUNNELED,
      "this MPI library ({}) does not allow threads beside it; trireme reads data in one",
      mpi_version());
  world_ = world_communicator();
  std::string variable;
  const int launched = launched_processes(variable);
  if (world_->size() == 1 && launched > 1) {
    world_.reset();
    MPI_Finalize();
    throw Error(fmt::format(
        "the launcher started {} processes ({}), but MPI sees one: the launcher and this "
        "program's MPI library ({}) do not belong together; start with that library's own "
        "mpirun, or with srun --mpi=pmix",
        launched, variable, mpi_version()));
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
  return std::make_unique<MpiCommunicator>(comm, true);
}

std::unique_ptr<Communicator> world_communicator() {
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  return std::make_unique<MpiCommunicator>(MPI_COMM_WORLD, false);
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
  const std::string whole(text.data(), static_cast<std::size_t>(length));
  return whole.substr(0, whole.find(','));
}

}  // namespace trireme
