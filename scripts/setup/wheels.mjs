// The pinned engine: which wheels, with which hashes, and what of them is kept.

export const torchVersion = '2.11.0';

/** Versions of an existing PyTorch that the generated operators are known to fit. */
export const testedRange = '2.11.x';

export function isTested(version) {
  return /^2\.11\.\d+(\+|$)/.test(version);
}

/**
 * Per platform: pip's platform tags and requirement lines. libtorch_cpu is linked against two small CUDA libraries
 * even where there is no GPU; the large ones are left out. The wheels are those for CPython 3.12, whichever Python
 * runs pip: the libraries inside do not depend on it, and one file has one hash.
 */
const pins = {
  'linux-x64': {
    tags: ['manylinux_2_28_x86_64', 'manylinux_2_25_x86_64', 'manylinux2014_x86_64'],
    requirements: [
      `torch==${torchVersion} --hash=sha256:0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756`,
      'nvidia-cuda-runtime==13.0.96 --hash=sha256:7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
      'nvidia-cuda-cupti==13.0.85 --hash=sha256:4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
    ],
  },
  'linux-arm64': {
    tags: ['manylinux_2_28_aarch64', 'manylinux_2_25_aarch64', 'manylinux2014_aarch64'],
    requirements: [
      `torch==${torchVersion} --hash=sha256:f99924682ef0aa6a4ab3b1b76f40dc6e273fca09f367d15a524266db100a723f`,
      'nvidia-cuda-runtime==13.0.96 --hash=sha256:ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55',
      'nvidia-cuda-cupti==13.0.85 --hash=sha256:796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151',
    ],
  },
  'darwin-arm64': {
    tags: ['macosx_11_0_arm64'],
    requirements: [
      `torch==${torchVersion} --hash=sha256:4b5866312ee6e52ea625cd211dcb97d6a2cdc1131a5f15cc0d87eec948f6dd34`,
    ],
  },
};

export function pinFor(platform = process.platform, arch = process.arch) {
  return pins[`${platform}-${arch}`];
}

/** Paths inside the wheels that are unpacked, as a Python regular expression. CUDA and Python halves stay out. */
export const keptPaths = [
  String.raw`torch/version\.py`,
  'torch/include/.*',
  String.raw`torch/lib/(?!.*(?:cuda|nvrtc|nvshmem|python|global_deps|shm|libtorch\.))[^/]*\.(?:so|dylib)[^/]*`,
  String.raw`torch\.libs/.*`,
  String.raw`torch-[^/]*\.dist-info/(?:licenses/.*|LICENSE|NOTICE)`,
  String.raw`nvidia/[^/]*/lib/lib(?:cudart|cupti)\.so[^/]*`,
].join('|');
