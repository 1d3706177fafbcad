// The emulated cuDNN: what it computes against plain sums, and that it refuses what cuDNN does not promise.
#include <cuda_fp16.h>
#include <cudnn.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/cuda/owners.h"

namespace likeness::cuda {
namespace {

// One call: 3x3 kernels, padding 1, two images with a gap between them.
class Call {
 public:
  static constexpr int kImages = 2, kIn = 8, kOut = 16, kHeight = 3, kWidth = 5;

  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnMathType_t math = CUDNN_FMA_MATH;
  cudnnTensorFormat_t filter_format = CUDNN_TENSOR_NHWC;
  cudnnActivationMode_t activation_mode = CUDNN_ACTIVATION_RELU;
  cudnnConvolutionFwdAlgo_t algorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;
  int channel_stride = 1, out_width = kWidth, stride = 1;
  std::size_t workspace_bytes = 1024;
  float alpha1 = 1.0f, alpha2 = 0.0f;

  Call() {
    std::mt19937 random(1);
    const auto fill = [&](auto& values) {
      for (float& value : values) value = static_cast<int>(random() % 64) / 64.0f - 0.5f;
    };
    fill(x_);
    fill(w_);
    fill(bias_);
    fill(y_);
    EXPECT_FALSE(DeviceBuffer::Create(1 << 20, &memory_).failed());
    std::memcpy(X(), x_, sizeof x_);
    std::memcpy(W(), w_, sizeof w_);
    std::memcpy(Bias(), bias_, sizeof bias_);
    std::memcpy(Y(), y_, sizeof y_);
  }

  cudnnStatus_t Run() {
    cudnnHandle_t handle;
    cudnnTensorDescriptor_t x, y, bias;
    cudnnFilterDescriptor_t w;
    cudnnConvolutionDescriptor_t convolution;
    cudnnActivationDescriptor_t activation;
    cudnnCreate(&handle);
    cudnnCreateTensorDescriptor(&x);
    cudnnCreateTensorDescriptor(&y);
    cudnnCreateTensorDescriptor(&bias);
    cudnnCreateFilterDescriptor(&w);
    cudnnCreateConvolutionDescriptor(&convolution);
    cudnnCreateActivationDescriptor(&activation);
    cudnnSetTensor4dDescriptorEx(x, type, kImages, kIn, kHeight, kWidth, kXDistance, channel_stride, kWidth * kIn, kIn);
    cudnnSetTensor4dDescriptorEx(y, type, kImages, kOut, kHeight, out_width, kYDistance, 1, out_width * kOut, kOut);
    cudnnSetTensor4dDescriptorEx(bias, type, 1, kOut, 1, 1, kOut, 1, kOut, kOut);
    cudnnSetFilter4dDescriptor(w, type, filter_format, kOut, kIn, 3, 3);
    cudnnSetConvolution2dDescriptor(convolution, 1, 1, stride, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
    cudnnSetConvolutionMathType(convolution, math);
    cudnnSetActivationDescriptor(activation, activation_mode, CUDNN_NOT_PROPAGATE_NAN, 0.0);
    const cudnnStatus_t status =
        cudnnConvolutionBiasActivationForward(handle, &alpha1, x, X(), w, W(), convolution, algorithm, Workspace(),
                                              workspace_bytes, &alpha2, y, Y(), bias, Bias(), activation, y, Y());
    cudnnDestroyActivationDescriptor(activation);
    cudnnDestroyConvolutionDescriptor(convolution);
    cudnnDestroyFilterDescriptor(w);
    for (cudnnTensorDescriptor_t tensor : {x, y, bias}) cudnnDestroyTensorDescriptor(tensor);
    cudnnDestroy(handle);
    return status;
  }

  double Expected(int image, int k, int row, int column) const {
    double sum = 0.0;
    for (int v = 0; v < 3; ++v) {
      for (int h = 0; h < 3; ++h) {
        const int from_y = row + v - 1, from_x = column + h - 1;
        if (from_y < 0 || from_y >= kHeight || from_x < 0 || from_x >= kWidth) continue;
        for (int c = 0; c < kIn; ++c) {
          sum += double{x_[image * kXDistance + (from_y * kWidth + from_x) * kIn + c]} *
                 w_[((k * 3 + v) * 3 + h) * kIn + c];
        }
      }
    }
    sum = alpha1 * sum + bias_[k] + alpha2 * y_[At(image, k, row, column)];
    return activation_mode == CUDNN_ACTIVATION_RELU && !(sum > 0.0) ? 0.0 : sum;
  }
  static int At(int image, int k, int row, int column) {
    return image * kYDistance + (row * kWidth + column) * kOut + k;
  }
  float Result(int at) { return Y()[at]; }
  float Before(int at) const { return y_[at]; }
  float InWorkspace() { return Workspace()[7]; }

 private:
  static constexpr int kXDistance = kHeight * kWidth * kIn + 32, kYDistance = kHeight * kWidth * kOut + 16;
  static constexpr int kX = kImages * kXDistance, kW = kOut * 9 * kIn, kY = kImages * kYDistance;
  float* Part(int i) { return reinterpret_cast<float*>(memory_.data()) + i * (1 << 14); }
  float* X() { return Part(0); }
  float* W() { return Part(1); }
  float* Bias() { return Part(2); }
  float* Y() { return Part(3); }
  float* Workspace() { return Part(4); }

  float x_[kX], w_[kW], bias_[kOut], y_[kY];
  DeviceBuffer memory_;
};

TEST(EmulatedCudnn, ComputesWhatIsDefined) {
  for (const bool relu : {true, false}) {
    for (const float alpha2 : {0.0f, 1.0f}) {
      Call call;
      call.activation_mode = relu ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY;
      call.alpha1 = 0.25f;
      call.alpha2 = alpha2;
      ASSERT_EQ(call.Run(), CUDNN_STATUS_SUCCESS);
      for (int image = 0; image < Call::kImages; ++image) {
        for (int k = 0; k < Call::kOut; ++k) {
          for (int y = 0; y < Call::kHeight; ++y) {
            for (int x = 0; x < Call::kWidth; ++x) {
              ASSERT_NEAR(call.Result(Call::At(image, k, y, x)), call.Expected(image, k, y, x), 1e-5);
            }
          }
        }
      }
      const int gap = Call::At(0, Call::kOut - 1, Call::kHeight - 1, Call::kWidth - 1) + 1;
      EXPECT_EQ(call.Result(gap), call.Before(gap));
      EXPECT_TRUE(std::isnan(call.InWorkspace()));
    }
  }
}

TEST(EmulatedCudnn, RefusesWhatCudnnDoesNotPromise) {
  const auto status = [](auto change) {
    Call call;
    change(call);
    return call.Run();
  };
  EXPECT_EQ(status([](Call&) {}), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(status([](Call& c) { c.math = CUDNN_DEFAULT_MATH; }), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(status([](Call& c) { c.filter_format = CUDNN_TENSOR_NCHW; }), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(status([](Call& c) { c.activation_mode = CUDNN_ACTIVATION_TANH; }), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(status([](Call& c) { c.algorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM; }),
            CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(status([](Call& c) { c.channel_stride = 2; }), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(status([](Call& c) { c.stride = 2; }), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(status([](Call& c) { c.out_width = 4; }), CUDNN_STATUS_BAD_PARAM);
  EXPECT_EQ(status([](Call& c) { c.workspace_bytes = 16; }), CUDNN_STATUS_BAD_PARAM);
}

}  // namespace
}  // namespace likeness::cuda
