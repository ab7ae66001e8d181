// What is set before each source.
#define KERNEL extern "C" __global__ void

// A number as it lies in memory, where a source does not say that it is a float: of 16 bits with HALVES. Sums are floats.
#ifdef HALVES
typedef unsigned short number;
__device__ float wide(number x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
__device__ number narrow(float x) {
  number y;
  // What is no number stays none.
  if (x == x) x = fminf(fmaxf(x, -65504.f), 65504.f);
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}
#else
typedef float number;
__device__ float wide(number x) { return x; }
__device__ number narrow(float x) { return x; }
#endif
