// Ready/valid batch driver: runs many stimuli on one Verilated unit, whole arrays per call.
//
// The model is the unit in its harness (wrapper.py). The generated code before this file declares DUT (the Verilated
// class), N_INPUTS and N_OUTPUTS (streams; inputs come first in every array) and the port accessors named port_*.

struct Stream {
    uint64_t** fields;               // per field: [beats of all stimuli][words of 64 bits]
    const int64_t* beat_offsets;     // [stimuli + 1]
    const uint8_t* pattern;          // flags of all stimuli
    const int64_t* pattern_offsets;  // [stimuli + 1]
    int64_t* transfers;              // [beats of all stimuli]: cycle of each transfer
};

enum Outcome : int64_t { GOOD = 0, HUNG = 1, SURPLUS = 2 };

struct Verdict {
    int64_t outcome;
    int64_t stimulus;
    int64_t cycle;
    int64_t stream;                              // which one sends too much
    int64_t done[N_INPUTS + N_OUTPUTS];          // beats transferred, for a hung unit
};

static inline bool flag(const Stream& stream, int64_t stimulus, int64_t cycle) {
    const int64_t begin = stream.pattern_offsets[stimulus];
    return begin + cycle >= stream.pattern_offsets[stimulus + 1] || stream.pattern[begin + cycle];
}

struct Waveform {
    VerilatedVcdC* file;
    uint64_t time;
    void dump() {
        if (file) file->dump(time);
        time += 5;
    }
};

// One clock cycle. The harness has a register before each input: after the edge the unit sees what the ports held
// before it, and its outputs have settled.
static void tick(DUT* top, Waveform& wave) {
    for (int level = 0; level < 2; ++level) {
        top->clk = level;
        top->eval();
        wave.dump();
    }
}

// Leaves the unit in the last of `cycles` reset cycles.
static void reset(DUT* top, Waveform& wave, int cycles) {
    for (int s = 0; s < N_INPUTS; ++s) port_set_valid(top, s, 0);
    for (int s = 0; s < N_OUTPUTS; ++s) port_set_ready(top, s, 0);
    top->rst = 1;
    for (int i = 0; i < cycles; ++i) tick(top, wave);
    top->rst = 0;
}

// One stimulus; false where the unit misbehaved.
static bool run_one(DUT* top, int64_t stimulus, Stream* streams, int64_t watchdog_cycles, int drain_cycles,
                    int64_t* cycles_total, Verdict* verdict, Waveform& wave) {
    int64_t done[N_INPUTS + N_OUTPUTS] = {};
    int64_t first[N_INPUTS + N_OUTPUTS], count[N_INPUTS + N_OUTPUTS];
    bool offered[N_INPUTS] = {};
    int64_t remaining = 0, patterns_end = 0;
    for (int s = 0; s < N_INPUTS + N_OUTPUTS; ++s) {
        first[s] = streams[s].beat_offsets[stimulus];
        count[s] = streams[s].beat_offsets[stimulus + 1] - first[s];
        remaining += count[s];
        const int64_t length = streams[s].pattern_offsets[stimulus + 1] - streams[s].pattern_offsets[stimulus];
        if (length > patterns_end) patterns_end = length;
    }
    int64_t last_transfer = -1;
    int64_t end = -1;  // first cycle not to run, once everything expected has happened
    if (remaining == 0) end = drain_cycles;
    for (int64_t cycle = 0; cycle != end; ++cycle) {
        for (int s = 0; s < N_INPUTS; ++s) {
            if (!offered[s] && done[s] < count[s] && flag(streams[s], stimulus, cycle)) {
                port_offer(top, s, streams[s].fields, first[s] + done[s]);
                port_set_valid(top, s, 1);
                offered[s] = true;
            }
        }
        for (int s = 0; s < N_OUTPUTS; ++s)
            port_set_ready(top, s, flag(streams[N_INPUTS + s], stimulus, cycle));
        tick(top, wave);
        bool moved = false;
        for (int o = 0; o < N_OUTPUTS; ++o) {
            const int s = N_INPUTS + o;
            if (!port_get_valid(top, o) || !flag(streams[s], stimulus, cycle)) continue;
            if (done[s] == count[s]) {
                *verdict = Verdict{SURPLUS, stimulus, cycle, s, {}};
                return false;
            }
            port_capture(top, o, streams[s].fields, first[s] + done[s]);
            streams[s].transfers[first[s] + done[s]++] = cycle;
            moved = true;
            --remaining;
        }
        bool taken[N_INPUTS > 0 ? N_INPUTS : 1] = {};
        for (int s = 0; s < N_INPUTS; ++s) {
            if (!offered[s] || !port_get_ready(top, s)) continue;
            streams[s].transfers[first[s] + done[s]++] = cycle;
            offered[s] = false;
            taken[s] = moved = true;
            --remaining;
        }
        // a payload that is not valid is hostile
        for (int s = 0; s < N_INPUTS; ++s) {
            if (!taken[s]) continue;
            port_set_valid(top, s, 0);
            if (done[s] == count[s] || !flag(streams[s], stimulus, cycle + 1)) port_scramble(top, s);
        }
        if (moved) {
            last_transfer = cycle;
            if (remaining == 0) end = cycle + 1 + drain_cycles;
        } else if (end < 0 && cycle > patterns_end && cycle - last_transfer > watchdog_cycles) {
            *verdict = Verdict{HUNG, stimulus, last_transfer, -1, {}};
            for (int s = 0; s < N_INPUTS + N_OUTPUTS; ++s) verdict->done[s] = done[s];
            return false;
        }
    }
    cycles_total[stimulus] = last_transfer + 1;
    return true;
}

extern "C" {

// Every register and memory starts with random bits of this seed, as it would in silicon.
void* batch_construct(int seed) {
    Verilated::randReset(2);
    Verilated::randSeed(seed);
    return construct();
}

void batch_run(void* unit, int64_t stimuli, Stream* streams, int64_t watchdog_cycles, int reset_cycles,
               int drain_cycles, int64_t* cycles_total, Verdict* verdict, const char* vcd_path) {
    DUT* top = static_cast<DUT*>(unit);
    Waveform wave{vcd_path ? start_vcd_trace(top, vcd_path) : nullptr, 0};
    *verdict = Verdict{GOOD, -1, -1, -1, {}};
    for (int64_t stimulus = 0; stimulus < stimuli; ++stimulus) {
        reset(top, wave, reset_cycles);
        if (!run_one(top, stimulus, streams, watchdog_cycles, drain_cycles, cycles_total, verdict, wave)) break;
    }
    if (wave.file) {
        stop_vcd_trace(wave.file);
        delete wave.file;
    }
}

}  // extern "C"
