// Attention on the matrix tiles (AMX) that newer x86 servers multiply bf16 with.
#pragma once

#include "loops.h"

namespace mallows::kernels {

/// Whether the processor has tiles and the kernel lets this process use them, which it asks for.
bool tilesAvailable();

/// The loops given, with attention on tiles where a head's width allows it.
Loops<c10::BFloat16> withTiles(const Loops<c10::BFloat16>& loops);

}  // namespace mallows::kernels
