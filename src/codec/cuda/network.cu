// One layer of a network for many blocks: the arithmetic of network.rs, operation by operation.
//
// A thread makes CHANNELS neighbouring channels of one output site of one block, each in its own chain of fused multiply-adds,
// so that no output depends on how blocks are spread over threads. Threads of a warp are blocks side by side: they read
// neighbouring numbers, and all the same weight.
//
// Every operation is named by an intrinsic that rounds to nearest and is neither contracted nor flushed to zero.

// Output channels of a thread; cuda/mod.rs pads weights to a multiple of it.
#define CHANNELS 8

// Activations by number: 0 none, 1 ReLU, 2 hard swish.
__device__ float activate(float v, unsigned activation)
{
    if (activation == 1)
        return v > 0.0f ? v : 0.0f;
    if (activation == 2) {
        float gate = __fadd_rn(v, 3.0f);
        gate = gate > 0.0f ? gate : 0.0f;
        gate = gate < 6.0f ? gate : 6.0f;
        return __fdiv_rn(__fmul_rn(v, gate), 6.0f);
    }
    return v;
}

// input, output: [site][channel][block]; weight: [tap][cin][padded cout]; bias: [padded cout].
// Output site s gathers from (input site, tap) = pairs[2 i], pairs[2 i + 1] for i from begin[s] to begin[s + 1].
// Grid: x over blocks, y over output sites, z over groups of channels.
extern "C" __global__ void layer(const float *__restrict__ input, float *__restrict__ output,
                                 const float *__restrict__ weight, const float *__restrict__ bias,
                                 const unsigned *__restrict__ begin, const unsigned *__restrict__ pairs,
                                 unsigned blocks, unsigned cin, unsigned cout, unsigned activation)
{
    const unsigned block = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned site = blockIdx.y;
    const unsigned first = blockIdx.z * CHANNELS;
    const unsigned padded = gridDim.z * CHANNELS;
    if (block >= blocks)
        return;
    float sums[CHANNELS];
#pragma unroll
    for (unsigned c = 0; c < CHANNELS; c++)
        sums[c] = bias[first + c];
    for (unsigned i = begin[site]; i < begin[site + 1]; i++) {
        const float *source = input + (unsigned long long)pairs[2 * i] * cin * blocks + block;
        const float *row = weight + (unsigned long long)pairs[2 * i + 1] * cin * padded + first;
        for (unsigned k = 0; k < cin; k++) {
            const float x = source[(unsigned long long)k * blocks];
#pragma unroll
            for (unsigned c = 0; c < CHANNELS; c++)
                sums[c] = __fmaf_rn(x, row[c], sums[c]);
            row += padded;
        }
    }
#pragma unroll
    for (unsigned c = 0; c < CHANNELS; c++) {
        if (first + c < cout)
            output[((unsigned long long)site * cout + first + c) * blocks + block] = activate(sums[c], activation);
    }
}
