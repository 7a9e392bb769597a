// Attention of bf16 heads on what multiplies blocks of bf16 numbers.
#pragma once

#include "loops.h"

namespace mallows::kernels {

/// Whether the processor has matrix tiles (AMX) and the kernel lets this process use them, which it asks for.
bool tilesAvailable();

/// Whether the processor has AVX-512 with its instructions for bf16.
bool bf16VectorsAvailable();

/// The loops given, with attention in blocks where a head's width allows it.
namespace tiles {
Loops<c10::BFloat16> withAttention(const Loops<c10::BFloat16>& loops);
}
namespace vectors {
Loops<c10::BFloat16> withAttention(const Loops<c10::BFloat16>& loops);
}

}  // namespace mallows::kernels
