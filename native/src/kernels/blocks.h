// Attention of bf16 heads on what multiplies blocks of bf16 numbers.
#pragma once

#include "loops.h"

namespace mallows::kernels {

// Only what is compiled, and only on a processor that has it: these files' code may use its instructions
// anywhere.

namespace tiles {
/// Whether the compiler knew the instructions.
extern const bool compiled;

/// The loops given, with attention in blocks where a head's width allows it.
Loops<c10::BFloat16> withAttention(const Loops<c10::BFloat16>& loops);
}  // namespace tiles

namespace vectors {
extern const bool compiled;
Loops<c10::BFloat16> withAttention(const Loops<c10::BFloat16>& loops);
}  // namespace vectors

}  // namespace mallows::kernels
