# make help                          lists the targets
# make CC=clang test                 another compiler, in a build folder of its own
# make SAN=address,undefined test    everything under sanitizers
# make CI=1 lint test                warnings are errors
# make V=1                           shows the commands

VERSION := $(shell awk -F '"' '/define RAD_VERSION "/ { print $$2 }' sim/radial.h)
PREFIX  ?= /usr/local
DATADIR := $(PREFIX)/share/radial
ifeq ($(origin CC),default)
CC      := gcc
endif
SAN     ?=
CI      ?=
CFLAGS  ?= -O2 -g
comma   := ,
# $(call say,WHAT) command: one short line per file built; V=1 shows the command instead.
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $@ &&)
flavour := $(if $(SAN),$(subst $(comma),-,$(SAN)),release)$(if $(CI),-ci)
BUILD   := build/$(notdir $(firstword $(CC)))-$(flavour)
MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Wvla -Wformat=2 \
        -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wcast-qual -Wwrite-strings
# Cost models keep every rounding where the source has it: no contraction, no reassociation.
ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -DRADIAL_VERSION='"$(VERSION)"' \
             -DRADIAL_DATADIR='"$(DATADIR)"' -Isim $(LIB_CFLAGS) $(CPPFLAGS) $(WARN) \
             -fPIC -ffile-prefix-map=$(CURDIR)=. -ffp-contract=off $(CFLAGS) \
             $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
             $(if $(CI),-Werror)

# Flags of one folder (FLAGS-dir) or of one source (FLAGS-dir/name), after the common ones.
FLAGS-sim/tensor := -O3 -fno-math-errno -fno-trapping-math -fassociative-math -fno-signed-zeros \
                    -ffp-contract=fast
FLAGS-sim/train  := -O3 -ffp-contract=fast
FLAGS-sim/cli    := -D_GNU_SOURCE
avx512 := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
FLAGS-sim/tensor/isa_avx2   := -mavx2 -mfma -mf16c
FLAGS-sim/tensor/isa_avx512 := $(avx512)
FLAGS-sim/tensor/isa_bf16   := $(avx512) -mavx512bf16
FLAGS-sim/tensor/isa_amx    := $(avx512) -mavx512bf16 -mamx-tile -mamx-bf16
FLAGS-tests/unit/amx_emulated := $(if $(findstring x86_64,$(MACHINE)),$(FLAGS-sim/tensor/isa_amx))
TEST_DIRS := unit laws oracle
$(foreach d,$(TEST_DIRS) fault fuzz bench,$(eval FLAGS-tests/$d = -I$(BUILD) -Itests/unit $$(CUNIT_CFLAGS)))

X86_ONLY := $(if $(findstring x86_64,$(MACHINE)),,$(addprefix sim/tensor/isa_,$(addsuffix .c,amx avx2 avx512 bf16)))
CLI_SRC   := $(wildcard sim/cli/*.c)
LIB_SRC   := $(filter-out $(CLI_SRC) $(X86_ONLY),$(wildcard sim/*/*.c))
TEST_SRC  := $(wildcard $(TEST_DIRS:%=tests/%/*.c))
FAULT_SRC := $(wildcard tests/fault/*.c)
FUZZ_SRC  := $(wildcard tests/fuzz/*.c)
C_FILES   := $(wildcard sim/*.h sim/*/*.[ch] tests/*/*.[ch])
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))
LIB_OBJ   := $(call obj,$(LIB_SRC))
CLI_OBJ   := $(call obj,$(CLI_SRC))
TEST_OBJ  := $(call obj,$(TEST_SRC))
FAULT_OBJ := $(call obj,$(FAULT_SRC))
# What tests share (tests/unit/*.c that are no suite) also serves benchmarks and fuzzers.
HELP_SRC  := $(filter-out tests/unit/main.c tests/unit/test_%,$(wildcard tests/unit/*.c))
BENCHES   := $(patsubst tests/bench/%.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
FUZZERS   := $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(FUZZ_SRC))
SONAME    := libradial.so.$(firstword $(subst ., ,$(VERSION)))

# Where the libraries are. The file is written once, after installing what is missing, and then
# make starts over with it; targets that compile nothing do not need it.
ifneq ($(filter-out clean help deps check-deps,$(or $(MAKECMDGOALS),all)),)
include build/libs.mk
endif

.PHONY: all deps demo test bench train fuzz lint check-deps check-globals install clean help FORCE
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BUILD)/radial $(BUILD)/libradial.a $(BUILD)/libradial.so $(BUILD)/radial.pc ## build ./radial and the library (in build/)
	@ln -sfn $(BUILD)/radial radial

deps: ## install the Debian packages that are missing (root or sudo), or print the command
	@.ci/deps

demo: all ## a tour: generate, evaluate, replay, sweep, plot (under 5 minutes)
	@RADIAL=./radial tests/demo/demo.sh

test: $(BUILD)/radial $(BUILD)/unit $(BUILD)/fault ## run all tests
	@BUILD=$(BUILD) tests/run.sh

bench: all $(BENCHES) ## measure speed on this machine
	@RADIAL=./radial BUILD=$(BUILD) tests/bench/run.sh

train: all ## train the committed models again; CORPUS="a.txt b.txt" for your own text
	@RADIAL=./radial tests/demo/train.sh $(CORPUS)

# FUZZ_S=0 FUZZ_RUNS=1000000: as many executions instead. FUZZ="yaml image": only these.
FUZZ_S    ?= 10
FUZZ_RUNS ?= -1
FUZZ      ?= $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
fuzz: ## fuzz every reader of outside files for FUZZ_S=10 seconds each (needs clang)
	@$(MAKE) --no-print-directory CC=clang SAN=fuzzer-no-link,address,undefined CI= \
	    FUZZ_S=$(FUZZ_S) FUZZ_RUNS=$(FUZZ_RUNS) FUZZ="$(FUZZ)" fuzz-run

lint: ## check arrows, statics, format, sizes, names, scripts
	@$(MAKE) --no-print-directory -k check-deps check-globals check-text

.PHONY: check-text
check-text:
	@tests/lint/lint.sh $(C_FILES)

check-deps: ## check that sim/ keeps to the arrows of sim/DEPS
	@awk -f tests/lint/check_deps.awk sim/DEPS $(wildcard sim/*.h sim/*/*.[ch] sim/*/*.def)

check-globals: $(BUILD)/libradial.a ## check that the library has no writable static data
	@$(if $(SAN),echo "check-globals: skipped: sanitizers add statics",tests/lint/check_globals.sh $<)

install: all ## install program, library, headers and data under DESTDIR and PREFIX
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/pkgconfig include/radial share/radial)
	install $(BUILD)/radial $(DESTDIR)$(PREFIX)/bin/
	install -m 644 $(BUILD)/libradial.a $(DESTDIR)$(PREFIX)/lib/
	install $(BUILD)/libradial.so $(DESTDIR)$(PREFIX)/lib/libradial.so.$(VERSION)
	ln -sfn libradial.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/$(SONAME)
	ln -sfn $(SONAME) $(DESTDIR)$(PREFIX)/lib/libradial.so
	install -m 644 $(BUILD)/radial.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig/
	for f in $$($(CC) -std=c11 -Isim $(LIB_CFLAGS) -MM sim/radial.h | tr -d '\\' | sed 's/^.*://'); do \
	    install -m 644 -D $$f $(DESTDIR)$(PREFIX)/include/radial/$${f#sim/} || exit 1; done
	cp -R models hwprofiles $(DESTDIR)$(PREFIX)/share/radial/

clean: ## remove everything built
	rm -rf build radial

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

build/libs.mk: Makefile .ci/deps
	@.ci/deps
	@mkdir -p build
	@{ echo "LIB_CFLAGS := `pkg-config --cflags $(LIBS) | sed 's/-I/-isystem /g'`"; \
	   echo "LIB_LIBS := `pkg-config --libs $(LIBS) | sed 's/-lgslcblas//'` -lm -lpthread"; \
	   echo "CUNIT_CFLAGS := `pkg-config --cflags cunit`"; \
	   echo "CUNIT_LIBS := `pkg-config --libs cunit`"; } > $@
# GSL brings a slow cblas of its own: it is left out above, and OpenBLAS comes after GSL.
LIBS := sqlite3 yaml-0.1 jansson libpcre2-8 libutf8proc libzstd libxxhash libpng libjpeg gsl openblas

$(BUILD)/libradial.a: $(LIB_OBJ)
	$(call say,AR) rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libradial.so: $(LIB_OBJ)
	$(call say,LD) $(CC) $(ALL_CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -o $@ $^ $(LIB_LIBS)

$(BUILD)/radial: $(CLI_OBJ) $(BUILD)/libradial.a
	$(call say,LD) $(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIB_LIBS)

$(BUILD)/radial.pc: Makefile $(BUILD)/flags
	@mkdir -p $(@D)
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include/radial' '' \
	    'Name: radial' 'Description: dynamic-depth transformers: routing, traces, hardware replay' \
	    'Version: $(VERSION)' 'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lradial' \
	    'Libs.private: $(LIB_LIBS)' > $@

$(BUILD)/unit: $(TEST_OBJ) $(BUILD)/libradial.a
	$(call say,LD) $(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(CUNIT_LIBS) $(LIB_LIBS)

$(BUILD)/fault: $(FAULT_OBJ) $(BUILD)/libradial.a
	$(call say,LD) $(CC) $(ALL_CFLAGS) $(LDFLAGS) -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc -o $@ $^ $(LIB_LIBS)

$(BUILD)/helpers.a: $(call obj,$(HELP_SRC))
	$(call say,AR) rm -f $@ && $(AR) rcs $@ $^

$(BENCHES): $(BUILD)/%: $(BUILD)/tests/bench/%.o $(BUILD)/helpers.a $(BUILD)/libradial.a
	$(call say,LD) $(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIB_LIBS)

.PHONY: fuzz-run
fuzz-run: $(FUZZ:%=$(BUILD)/fuzz_%)
	@for f in $^; do \
	    corpus=build/fuzz/$$(basename $$f); seeds=tests/fuzz/corpus/$$(basename $$f); \
	    mkdir -p $$corpus; [ -d $$seeds ] || seeds=; \
	    tests/fuzz/seeds.sh $$(basename $$f) $$corpus && \
	    $$f -max_total_time=$(FUZZ_S) -runs=$(FUZZ_RUNS) -rss_limit_mb=1024 -timeout=60 \
	        -print_final_stats=1 -artifact_prefix=$$corpus- $$corpus $$seeds || exit 1; \
	done

$(FUZZERS): $(BUILD)/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/helpers.a $(BUILD)/libradial.a
	$(call say,LD) $(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(LIB_LIBS)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC) $(CC) $(ALL_CFLAGS) $(FLAGS-$(*D)) $(FLAGS-$*) -MMD -MP -c -o $@ $<

# Lists that change without any source changing: written only when different.
replace = @mkdir -p $(@D); printf '%s\n' $(1) > $@.new; \
          if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

$(BUILD)/flags: Makefile FORCE # other flags mean other objects
	$(call replace,'$(subst ','\'',$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(PREFIX))')

# The suites of the unit program: tests/<folder>/test_<name>.c exports <name>_tests.
suites := $(patsubst test_%.c,%,$(notdir $(filter %.c,$(wildcard $(TEST_DIRS:%=tests/%/test_*.c)))))
faults := $(patsubst fault_%.c,%,$(notdir $(wildcard tests/fault/fault_*.c)))

$(BUILD)/suites.def: FORCE
	$(call replace,$(patsubst %,'SUITE(%)',$(suites)))

$(BUILD)/faults.def: FORCE
	$(call replace,$(patsubst %,'FAULT(%)',$(faults)))

$(BUILD)/tests/unit/main.o: $(BUILD)/suites.def
$(BUILD)/tests/fault/main.o: $(BUILD)/faults.def

-include $(patsubst %.o,%.d,$(LIB_OBJ) $(CLI_OBJ) $(TEST_OBJ) $(FAULT_OBJ)) \
         $(patsubst %.c,$(BUILD)/%.d,$(FUZZ_SRC) $(wildcard tests/bench/*.c))
