/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded beneath a run: each call of MPI by which ranks wait for each other is late by up to
 * 300 µs, at random, so that they meet in another order each time. TRIREME_DELAYS is the seed;
 * at the end each rank says how many of its calls were late. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mpi.h>

static uint64_t state;
static long late;

/* SplitMix64. A fifth of the calls are delayed: the others shall overtake them. */
static void wait_at_random(void) {
  if (state == 0) {
    const char* seed = getenv("TRIREME_DELAYS");
    int rank = 0;
    PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
    state = (uint64_t)strtoull(seed ? seed : "1", NULL, 10) * 1000003u + (uint32_t)rank + 1u;
  }
  uint64_t x = state += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  if (x % 5 != 0) return;
  const struct timespec time = {0, (long)((x >> 8) % 300000)};
  nanosleep(&time, NULL);
  ++late;
}

#define DELAYED(name, parameters, arguments) \
  int MPI_##name parameters {                \
    wait_at_random();                        \
    return PMPI_##name arguments;            \
  }

DELAYED(Isend,
        (const void* b, int n, MPI_Datatype t, int to, int tag, MPI_Comm c, MPI_Request* r),
        (b, n, t, to, tag, c, r))
DELAYED(Irecv, (void* b, int n, MPI_Datatype t, int from, int tag, MPI_Comm c, MPI_Request* r),
        (b, n, t, from, tag, c, r))
DELAYED(Iallgather,
        (const void* a, int n, MPI_Datatype t, void* b, int m, MPI_Datatype u, MPI_Comm c,
         MPI_Request* r),
        (a, n, t, b, m, u, c, r))
DELAYED(Iallreduce,
        (const void* a, void* b, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c, MPI_Request* r),
        (a, b, n, t, o, c, r))
DELAYED(Allreduce, (const void* a, void* b, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c),
        (a, b, n, t, o, c))
DELAYED(Allgather,
        (const void* a, int n, MPI_Datatype t, void* b, int m, MPI_Datatype u, MPI_Comm c),
        (a, n, t, b, m, u, c))
DELAYED(Reduce_scatter_block,
        (const void* a, void* b, int n, MPI_Datatype t, MPI_Op o, MPI_Comm c),
        (a, b, n, t, o, c))
DELAYED(Bcast, (void* b, int n, MPI_Datatype t, int root, MPI_Comm c), (b, n, t, root, c))
DELAYED(Testall, (int n, MPI_Request r[], int* done, MPI_Status s[]), (n, r, done, s))
DELAYED(Waitall, (int n, MPI_Request r[], MPI_Status s[]), (n, r, s))

int MPI_Finalize(void) {
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  fprintf(stderr, "delays: %ld calls of rank %d\n", late, rank);
  return PMPI_Finalize();
}
