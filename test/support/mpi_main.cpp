// SPDX-License-Identifier: Apache-2.0
// The main function of every test program: starts MPI around Boost.Test. All ranks return the
// worst exit code of any rank.
#include <algorithm>

#include <boost/test/unit_test.hpp>
#include <mpi.h>

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  int code = boost::unit_test::unit_test_main([] { return true; }, argc, argv);
  MPI_Allreduce(MPI_IN_PLACE, &code, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  MPI_Finalize();
  return code;
}
