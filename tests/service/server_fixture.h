// The fixture of tests that share one server: started with the suite, one stub for each test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/service/server_process.h"

namespace likeness::testing {

class ServerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { StartServer({}); }
  static void StartServer(const std::vector<std::string>& flags) { server_ = ServerProcess::Start(flags).release(); }
  static void TearDownTestSuite() {
    delete server_;
    server_ = nullptr;
  }
  void SetUp() override {
    ASSERT_NE(server_, nullptr);
    stub_ = server_->NewStub();
  }

  inline static ServerProcess* server_ = nullptr;
  std::unique_ptr<v1::ScoringService::Stub> stub_;
};

}  // namespace likeness::testing
