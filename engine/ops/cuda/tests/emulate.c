// Runs a kernel as C: the threads of a block take turns, each as far as the next barrier.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

// A 16-bit float nearest to a number, by its bits, and the number that such bits are.
static unsigned half(float x) {
  if (x != x) return 0x7e00u;
  const unsigned sign = signbit(x) ? 0x8000u : 0u;
  const float size = fminf(fabsf(x), 65504.f);
  if (size < 0x1p-14f) return sign | (unsigned)nearbyintf(size * 0x1p24f);
  const int exponent = ilogbf(size);
  return sign | (((unsigned)(exponent + 14) << 10) + (unsigned)nearbyintf(scalbnf(size, 10 - exponent)));
}
static float unhalf(unsigned half) {
  const int exponent = half >> 10 & 31, digits = half & 1023;
  const float normal = exponent ? scalbnf(1024 + digits, exponent - 25) : scalbnf(digits, -24);
  const float size = exponent < 31 ? normal : digits ? NAN : INFINITY;
  return half & 0x8000u ? -size : size;
}
static unsigned halves(float low, float high) { return half(low) | half(high) << 16; }

#ifdef HALVES
typedef unsigned short number;
static float wide(number x) { return unhalf(x); }
static number narrow(float x) { return (number)half(x); }
#else
typedef float number;
static float wide(number x) { return x; }
static number narrow(float x) { return x; }
#endif

// A warp's product of small matrices, from what each of its threads has of them.
static unsigned fragments[1024][6];
static float fragment(unsigned thread, unsigned word, unsigned high) {
  return unhalf(fragments[(current & ~31u) + thread][word] >> 16 * high & 0xffffu);
}
static void multiply(float* c, const unsigned* a, unsigned b0, unsigned b1) {
  unsigned* own = fragments[current];
  for (unsigned i = 0; i < 4; i++) own[i] = a[i];
  own[4] = b0, own[5] = b1;
  __syncthreads();
  const unsigned group = current % 32 / 4, part = current % 4;
  for (unsigned i = 0; i < 4; i++) {
    const unsigned row = group + i / 2 * 8, column = 2 * part + i % 2;
    for (unsigned k = 0; k < 16; k++) {
      c[i] += fragment(row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2) * fragment(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
    }
  }
  __syncthreads();
}

static void* input(size_t size, size_t count) {
  void* values = malloc(size * count);
  if (!values || fread(values, size, count, stdin) != count) exit(3);
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
