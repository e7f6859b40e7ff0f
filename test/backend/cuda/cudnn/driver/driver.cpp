// SPDX-License-Identifier: Apache-2.0
// A libcuda.so.1 without a GPU. cuDNN compiles its kernels and hands them to this driver, which
// reports them as loaded. Kernels can't run. The functions are those that cuDNN looks for.
namespace {

constexpr int kNoDevice = 100;  // CUDA_ERROR_NO_DEVICE
int something = 0;

}  // namespace

#define WITHOUT_DEVICE(name) \
  extern "C" int name() { return kNoDevice; }

WITHOUT_DEVICE(cuCtxGetCurrent)
WITHOUT_DEVICE(cuCtxGetDevice)
WITHOUT_DEVICE(cuCtxGetLimit)
WITHOUT_DEVICE(cuCtxPopCurrent)
WITHOUT_DEVICE(cuCtxPushCurrent)
WITHOUT_DEVICE(cuDeviceGet)
WITHOUT_DEVICE(cuDeviceGetAttribute)
WITHOUT_DEVICE(cuDeviceGetCount)
WITHOUT_DEVICE(cuDevicePrimaryCtxRelease)
WITHOUT_DEVICE(cuDevicePrimaryCtxReset)
WITHOUT_DEVICE(cuDevicePrimaryCtxRetain)
WITHOUT_DEVICE(cuDriverGetVersion)
WITHOUT_DEVICE(cuFuncGetAttribute)
WITHOUT_DEVICE(cuFuncSetAttribute)
WITHOUT_DEVICE(cuGetErrorName)
WITHOUT_DEVICE(cuGetErrorString)
WITHOUT_DEVICE(cuInit)
WITHOUT_DEVICE(cuKernelGetAttribute)
WITHOUT_DEVICE(cuLaunchCooperativeKernel)
WITHOUT_DEVICE(cuLaunchKernel)
WITHOUT_DEVICE(cuLaunchKernelEx)
WITHOUT_DEVICE(cuLibraryLoadFromFile)
WITHOUT_DEVICE(cuLinkAddData)
WITHOUT_DEVICE(cuLinkAddData_v2)
WITHOUT_DEVICE(cuLinkAddFile_v2)
WITHOUT_DEVICE(cuLinkComplete)
WITHOUT_DEVICE(cuLinkCreate)
WITHOUT_DEVICE(cuLinkCreate_v2)
WITHOUT_DEVICE(cuLinkDestroy)
WITHOUT_DEVICE(cuMemcpyDtoH_v2)
WITHOUT_DEVICE(cuModuleGetFunction)
WITHOUT_DEVICE(cuModuleGetGlobal_v2)
WITHOUT_DEVICE(cuModuleLoadData)
WITHOUT_DEVICE(cuModuleLoadDataEx)
WITHOUT_DEVICE(cuModuleLoadFatBinary)
WITHOUT_DEVICE(cuModuleUnload)
WITHOUT_DEVICE(cuOccupancyMaxActiveBlocksPerMultiprocessor)
WITHOUT_DEVICE(cuOccupancyMaxPotentialClusterSize)
WITHOUT_DEVICE(cuStreamGetCtx)
WITHOUT_DEVICE(cuStreamSynchronize)
WITHOUT_DEVICE(cuTensorMapEncodeTiled)

extern "C" int cuLibraryLoadData(void** library, const void* code) {
  *library = &something;
  return code == nullptr;
}
extern "C" int cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  *kernel = &something;
  return library == nullptr || name == nullptr;
}
extern "C" int cuLibraryUnload(void* library) { return library == nullptr; }
extern "C" int cuKernelSetAttribute() { return 0; }
