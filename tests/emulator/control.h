// What tests may ask of the emulated CUDA, and see of it.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

// How much is alive: memory, streams, events, graphs and FFT plans.
std::int64_t EmulatedAllocationCount();

// From now on an allocation above this fails, of the device or of the host.
void LimitEmulatedMemory(std::int64_t bytes_each);

// The devices from now on, each with so much memory; none: cudaErrorNoDevice. At first there is one, of 1 GiB.
void SetEmulatedDevices(const std::vector<std::int64_t>& memory_bytes);

// Makes the n-th launch, copy, fill, FFT or launch of a graph from now fail with `error` where it is queued, and not
// run; n = 1: the next. Sticky: all later calls fail with it too, until ForgetEmulatedFailure, which stands for a new
// process; only what tells of devices still answers, and what destroys still destroys.
void FailEmulatedWork(std::int64_t n, cudaError_t error, bool sticky);
void ForgetEmulatedFailure();
// How many there were, those that failed included. A graph counts once when it is launched, and its work when it is
// captured.
std::int64_t EmulatedWorkCount();

// From now on cuDNN supports no convolution of so many images or more; 0, as at first: it does.
void RefuseEmulatedConvolutions(int images);

// From now on cuDNN sums in another order where a call has several images of so many channels; 0, as at first: nowhere.
void ReorderEmulatedConvolutions(int channels);

// Whether the blocks of a launch run in rising order from now on; at first they run in falling order.
void RunEmulatedBlocksRising(bool rising);

// Whether work on a stream waits until somebody waits for it (so at first) or is done at once. Both are allowed to a
// GPU: the first shows who reads results too early or overwrites input too early, the second who lets the device
// overwrite what the host still reads.
void DeferEmulatedWork(bool defer);
