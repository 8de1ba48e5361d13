// What makes programs run: real packets, sockets, files, calls and routes, made by this process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/kernel.h"

namespace tamis::test {

// An object that another process has loaded.
struct LoadedElsewhere {
    std::vector<runtime::Fd> programs;  // in the file's order
    runtime::Fd sockets;                // the map of that name, if there is one
    std::string cgroup;                 // the folder of the control group that it is attached to
    int program(std::size_t i) const { return programs[i].get(); }
};

// The map of that name that a program uses.
runtime::Fd map_of(int program, std::string_view name);
// An entry of a map of 64-bit numbers; 0 where there is none.
std::uint64_t lookup(runtime::Fd const& map, std::uint32_t key);

// Makes an event; what this kernel lacks for it, or nothing.  Everything else that goes wrong is a
// failure of the test.
using Event = std::string (*)(LoadedElsewhere const&);

std::string nothing(LoadedElsewhere const&);  // what is read by tamis itself
std::string frames(LoadedElsewhere const&);   // in and out of v0
std::string netkit_frames(LoadedElsewhere const&);
std::string datagram(LoadedElsewhere const&);          // over lo
std::string network(LoadedElsewhere const&);           // both
std::string internet_sockets(LoadedElsewhere const&);  // of the control group, IPv4 and IPv6
std::string unix_sockets(LoadedElsewhere const&);      // of the control group
std::string bound_socket(LoadedElsewhere const&);      // of the control group
std::string mapped_sockets(LoadedElsewhere const&);    // whose packets go through the map `sockets`
std::string traces(LoadedElsewhere const&);            // all that trace.c counts
std::string calls(LoadedElsewhere const&);             // of functions of the kernel
std::string kernel_tests(LoadedElsewhere const&);      // of functions that BPF_PROG_TEST_RUN calls

// Attach first what tamis leaves to others.
std::string reuseport(LoadedElsewhere const&);
std::string redirected_frames(LoadedElsewhere const&);
std::string routes(LoadedElsewhere const&);
std::string tc_action(LoadedElsewhere const&);
std::string run_by_request(LoadedElsewhere const&);

}  // namespace tamis::test

// In this program, for uprobes and USDT: a function, and a trace point `tamis:event` whose argument
// is 0.
extern "C" void tamis_test_function();
