// The server on the emulated GPU, which is lost on SIGUSR1: the next thing that it is asked to do fails, and all after
// that.
#include <csignal>
#include <thread>

#include "server/run.h"
#include "tests/emulator/control.h"

int main(int argc, char** argv) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([signals] {
    int signal = 0;
    sigwait(&signals, &signal);
    FailEmulatedWork(1, cudaErrorIllegalAddress, /*sticky=*/true);
  }).detach();
  return likeness::RunServer(argc, argv);
}
