// A CUDA driver without a GPU: the functions of libcuda that the library calls, with the library's
// kernel compiled for the cores. It tests the kernel's arithmetic and everything around it; it
// cannot test the speed of a GPU, nor that NVIDIA's compiler respects the kernel's intrinsics.
//
//   CUDA_ON_CORES        how many devices there are (default 2)
//   CUDA_ON_CORES_LOG    a file that gets a line with the device's number and the number of blocks for each launch
//   CUDA_ON_CORES_FAILS  which launch of the process, from 1, and all after it fail, as on a device that has fallen off
//   CUDA_ON_CORES_WRONG  set: the last bit of every result is flipped

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

struct Index {
    unsigned x, y, z;
};
static thread_local Index blockIdx, threadIdx, blockDim, gridDim;
#define __global__
#define __device__ static
#define __restrict__
static float __fadd_rn(float a, float b) { return a + b; }
static float __fmul_rn(float a, float b) { return a * b; }
static float __fdiv_rn(float a, float b) { return a / b; }
static float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#include "network.cu"

typedef int Result;
typedef unsigned long long Address;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, INVALID_DEVICE = 101, NOT_FOUND = 500, LAUNCH_FAILED = 719 };

struct Context {
    int device;
};
static Context contexts[16];
static thread_local Context *current;
static std::atomic<long> launches;
static std::atomic<bool> is_ready;

static long setting(const char *name, long otherwise)
{
    const char *value = getenv(name);
    return value ? atol(value) : otherwise;
}

extern "C" {
Result cuInit(unsigned)
{
    is_ready = true;
    return SUCCESS;
}
Result cuDeviceGetCount(int *count)
{
    *count = (int)setting("CUDA_ON_CORES", 2);
    return is_ready ? SUCCESS : NOT_INITIALIZED;
}
Result cuDeviceGet(int *device, int number)
{
    *device = number;
    return number < setting("CUDA_ON_CORES", 2) ? SUCCESS : INVALID_DEVICE;
}
// No memory pools: the library then allocates in the plain way.
Result cuDeviceGetAttribute(int *value, int, int)
{
    *value = 0;
    return SUCCESS;
}
Result cuDevicePrimaryCtxRetain(Context **context, int device)
{
    *context = &contexts[device];
    (*context)->device = device;
    return SUCCESS;
}
Result cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
Result cuCtxSetCurrent(Context *context)
{
    current = context;
    return SUCCESS;
}
Result cuCtxGetCurrent(Context **context)
{
    *context = current;
    return SUCCESS;
}
Result cuCtxSynchronize(void) { return SUCCESS; }
Result cuModuleLoadData(void **module, const void *image)
{
    *module = &contexts;
    return strstr((const char *)image, ".entry layer(") ? SUCCESS : INVALID_VALUE;
}
Result cuModuleUnload(void *) { return SUCCESS; }
Result cuModuleGetFunction(void **function, void *, const char *name)
{
    *function = (void *)&layer;
    return strcmp(name, "layer") == 0 ? SUCCESS : NOT_FOUND;
}
Result cuStreamCreate(void **stream, unsigned)
{
    *stream = &contexts;
    return SUCCESS;
}
Result cuStreamDestroy_v2(void *) { return SUCCESS; }
Result cuStreamSynchronize(void *) { return SUCCESS; }
Result cuStreamWaitEvent(void *, void *, unsigned) { return SUCCESS; }
Result cuEventCreate(void **event, unsigned)
{
    *event = &contexts;
    return SUCCESS;
}
Result cuEventRecord(void *, void *) { return SUCCESS; }
Result cuEventSynchronize(void *) { return SUCCESS; }
Result cuEventDestroy_v2(void *) { return SUCCESS; }
Result cuMemAlloc_v2(Address *at, size_t bytes)
{
    if (bytes == 0 || !current)
        return INVALID_VALUE;
    *at = (Address)malloc(bytes);
    return *at ? SUCCESS : OUT_OF_MEMORY;
}
Result cuMemFree_v2(Address at)
{
    free((void *)at);
    return SUCCESS;
}
Result cuMemsetD8Async(Address at, unsigned char value, size_t bytes, void *)
{
    memset((void *)at, value, bytes);
    return SUCCESS;
}
Result cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *)
{
    memcpy((void *)to, from, bytes);
    return SUCCESS;
}
Result cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *)
{
    memcpy(to, (const void *)from, bytes);
    return SUCCESS;
}
Result cuGetErrorName(Result, const char **name)
{
    *name = "CUDA_ON_CORES";
    return SUCCESS;
}
Result cuGetErrorString(Result error, const char **text)
{
    *text = error == LAUNCH_FAILED ? "unspecified launch failure" : "an error";
    return SUCCESS;
}
Result cuLaunchKernel(void *, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                      void *, void **p, void **)
{
    long failing = setting("CUDA_ON_CORES_FAILS", 0);
    if (++launches >= failing && failing > 0)
        return LAUNCH_FAILED;
    // Limits of a GPU.
    if (gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || bx * by * bz > 1024 || !current)
        return INVALID_VALUE;
    const float *input = *(const float **)p[0], *weight = *(const float **)p[2], *bias = *(const float **)p[3];
    float *output = *(float **)p[1];
    const unsigned *begin = *(const unsigned **)p[4], *pairs = *(const unsigned **)p[5];
    unsigned blocks = *(unsigned *)p[6], cin = *(unsigned *)p[7], cout = *(unsigned *)p[8], kind = *(unsigned *)p[9];
    gridDim = {gx, gy, gz};
    blockDim = {bx, by, bz};
    for (blockIdx.z = 0; blockIdx.z < gz; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++)
                for (threadIdx.x = 0; threadIdx.x < bx; threadIdx.x++)
                    layer(input, output, weight, bias, begin, pairs, blocks, cin, cout, kind);
    if (getenv("CUDA_ON_CORES_WRONG"))
        for (size_t i = 0; i < (size_t)gy * cout * blocks; i++) {
            unsigned bits;
            memcpy(&bits, &output[i], 4);
            bits ^= 1;
            memcpy(&output[i], &bits, 4);
        }
    static std::mutex one;
    std::lock_guard<std::mutex> alone(one);
    const char *path = getenv("CUDA_ON_CORES_LOG");
    if (FILE *log = path ? fopen(path, "a") : NULL) {
        fprintf(log, "%d %u\n", current->device, blocks);
        fclose(log);
    }
    return SUCCESS;
}
}
