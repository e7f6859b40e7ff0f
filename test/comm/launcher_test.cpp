// SPDX-License-Identifier: Apache-2.0
// Variables of launchers, alone and several together.
#include "trireme/comm/launcher.hpp"

#include <cstdlib>
#include <map>

#include <boost/test/unit_test.hpp>

#include "trireme/comm/mpi.hpp"

namespace trireme {
namespace {

Environment variables(const std::map<std::string, std::string>& values) {
  return [values](const char* name) -> const char* {
    const auto at = values.find(name);
    return at == values.end() ? nullptr : at->second.c_str();
  };
}

BOOST_AUTO_TEST_CASE(a_process_alone_has_no_launcher) {
  BOOST_TEST(!launched_rank(variables({})));
  BOOST_TEST(launched_processes(variables({})).count == 0);
  BOOST_TEST(!launched_rank(variables({{"SLURM_PROCID", ""}, {"PMI_RANK", "none"}})));
}

BOOST_AUTO_TEST_CASE(every_launcher_is_known_by_its_rank) {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID",
                           "MV2_COMM_WORLD_RANK", "FLUX_TASK_RANK"}) {
    BOOST_TEST((launched_rank(variables({{name, "3"}})) == 3), name);
    BOOST_TEST((launched_rank(variables({{name, "0"}})) == 0), name);
  }
}

BOOST_AUTO_TEST_CASE(the_launcher_that_is_nearest_to_mpi_counts) {
  const auto nested = variables({{"SLURM_PROCID", "0"}, {"OMPI_COMM_WORLD_RANK", "5"}});
  BOOST_TEST((launched_rank(nested) == 5));
}

BOOST_AUTO_TEST_CASE(the_most_processes_count) {
  const auto said = launched_processes(
      variables({{"OMPI_COMM_WORLD_SIZE", "2"}, {"PMI_SIZE", "8"}, {"FLUX_JOB_SIZE", "4"}}));
  BOOST_TEST(said.count == 8);
  BOOST_TEST(said.variable == "PMI_SIZE");
}

BOOST_AUTO_TEST_CASE(versions_take_a_part_of_one_line) {
  BOOST_TEST(short_mpi_version("Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4") ==
             "Open MPI v4.1.4");
  BOOST_TEST(short_mpi_version("MPICH Version:\t4.0.2\nMPICH Release date:\tThu Apr 7\nMPICH "
                               "ABI:\t14:2:2\n") == "MPICH 4.0.2");
  BOOST_TEST(short_mpi_version("MPI VERSION    : CRAY MPICH version 8.1.25 (ANL base 3.4a2)\n"
                               "MPI BUILD INFO : x\n") ==
             "CRAY MPICH version 8.1.25 (ANL base 3.4a2)");
  BOOST_TEST(short_mpi_version("MVAPICH2 Version      :\t2.3.7\nMVAPICH2 Release date :\tx") ==
             "MVAPICH2 2.3.7");
  BOOST_TEST(short_mpi_version("Intel(R) MPI Library 2021.9 for Linux* OS\n") ==
             "Intel(R) MPI Library 2021.9 for Linux* OS");
}

BOOST_AUTO_TEST_CASE(the_launcher_of_this_test_agrees_with_mpi) {
  const auto world = world_communicator();
  BOOST_TEST((launched_rank(std::getenv) == world->rank()));
  BOOST_TEST(launched_processes(std::getenv).count == world->size());
}

}  // namespace
}  // namespace trireme
