#include "server/run.h"

int main(int argc, char** argv) { return likeness::RunServer(argc, argv); }
