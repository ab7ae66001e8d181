// Runs a kernel as C: the threads of a block take turns, each as far as the next barrier.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

typedef struct { unsigned x, y, z; } Index;
static Index blockIdx, blockDim, indices[1024];
static ucontext_t contexts[1024], home;
static unsigned current, finished[1024];
static float published[1024];

#define threadIdx indices[current]
#define KERNEL static void
#define __device__ static
#define __shared__ static

static void __syncthreads(void) { swapcontext(&contexts[current], &home); }

static float __shfl_xor_sync(unsigned all, float number, unsigned apart) {
  published[current] = number;
  __syncthreads();
  const float other = published[current ^ apart];
  __syncthreads();
  return (void)all, other;
}

static void* input(size_t count) {
  void* values = malloc(4 * count);
  if (!values || fread(values, 4, count, stdin) != count) exit(3);
  return values;
}

static void body(void);
static void thread(void) {
  body();
  finished[current] = 1;
}

// Every block in turn, its threads first to last or last to first: nothing may depend on that.
static void run(unsigned width, unsigned height, unsigned x, unsigned y, unsigned z, int backwards) {
  static char stacks[1024][32768];
  const unsigned threads = width * height;
  blockDim = (Index){width, height, 1};
  for (unsigned block = 0; block < x * y * z; block++) {
    blockIdx = (Index){block % x, block / x % y, block / x / y};
    for (unsigned at = 0; at < threads; at++) {
      indices[at] = (Index){at % width, at / width, 0};
      finished[at] = 0;
      getcontext(&contexts[at]);
      contexts[at].uc_stack.ss_sp = stacks[at];
      contexts[at].uc_stack.ss_size = sizeof stacks[at];
      contexts[at].uc_link = &home;
      makecontext(&contexts[at], thread, 0);
    }
    for (unsigned left = threads; left > 0;) {
      for (unsigned at = 0; at < threads; at++) {
        current = backwards ? threads - 1 - at : at;
        if (finished[current]) continue;
        swapcontext(&home, &contexts[current]);
        left -= finished[current];
      }
    }
  }
}
