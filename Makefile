# Mailstead: one Makefile for everything.
#
#   make            build all programs into build/<variant>/bin
#   make check      everything a change must pass; last line "N passed, N failed"
#   make demo       build, make demo/ and run the whole server in the foreground
#   make lint       formatter, include directions, clang-tidy, cppcheck, shellcheck
#   make bench fuzz soak    long proofs
#
# Variants: CC=clang, SAN=address (with UBSan), SAN=thread.  Each has its own
# build folder, so they never mix.

VERSION = 0.1.0
PREFIX ?= /usr
DESTDIR ?=
PYTHON = /usr/bin/python3
ifeq ($(origin CC),default)
CC = gcc
endif
SAN ?=
BUILD = build/$(notdir $(firstword $(CC)))$(if $(SAN),-$(SAN))

# --- flags -----------------------------------------------------------------
PKGS = gmime-3.0 libxml-2.0
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g')
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
    -Wpointer-arith -Wwrite-strings -Wcast-qual -Wcast-align -Wformat=2 -Wundef -Wvla \
    -Wconversion -Wsign-conversion -Wswitch-enum -Wnull-dereference \
    -Wimplicit-fallthrough -Wdouble-promotion
# clang takes assert(!"reason") for a mistake, and a test's own recv() for libc's
ifneq (,$(findstring clang,$(CC)))
WARN += -Wno-string-conversion -Wno-static-in-inline
endif
CPPFLAGS = -D_GNU_SOURCE -DMAILSTEAD_VERSION='"$(VERSION)"' -DMAILSTEAD_PREFIX='"$(PREFIX)"' \
    -I. -Icommon $(PKG_CFLAGS)
HARDEN = -fstack-protector-strong -fstack-clash-protection -fcf-protection
OPT = -O2 -g
ifeq ($(SAN),address)
SANFLAGS = -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT = -O1 -g
else ifeq ($(SAN),thread)
SANFLAGS = -fsanitize=thread -fno-omit-frame-pointer
OPT = -O1 -g
else
WARN += -Werror
HARDEN += -D_FORTIFY_SOURCE=3
endif
CFLAGS = -std=c11 $(OPT) -fPIE -pthread $(HARDEN) $(SANFLAGS) $(WARN)
LDFLAGS = -pie -pthread -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed $(SANFLAGS)
LIBS = -lssl -lcrypto -lresolv -lsqlite3 -ljansson -lidn2 -lunistring -lseccomp -linih \
    -lgsasl -lcrypt -lfcgi $(shell pkg-config --libs $(PKGS) 2>/dev/null)

# --- what is built -----------------------------------------------------------
# Everything but the main.c files goes into one archive; a program is its
# main.c plus what that pulls in.  Who may use whom is checked by tests/layers.sh.
FOLDERS = common/base common/net common/proc common/mail common/policy \
    common/directory common/mime common/web accountd parse maildir queue mtad \
    popd webmail-cgi admin-cgi mailstead
SOURCES := $(wildcard $(addsuffix /*.c,$(FOLDERS)))
MAINS := $(wildcard */main.c)
ARCHIVE = $(BUILD)/libmailstead.a
OBJECTS = $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(MAINS),$(SOURCES)))

# The files of a web program's pages/ and of the pages/ they share are part of
# it: webmail-cgi/pages.c defines webmail_assets.
PAGES := $(wildcard webmail-cgi/pages admin-cgi/pages)
OBJECTS += $(patsubst %,$(BUILD)/%.o,$(PAGES))

define pages_rule
$(BUILD)/$1.c: common/web/embed.sh $(shell find $1 common/web/pages 2>/dev/null)
	@mkdir -p $$(@D)
	common/web/embed.sh $(patsubst %-cgi/pages,%,$1) $1 common/web/pages > $$@
$(BUILD)/$1.o: $(BUILD)/$1.c
	$$(CC) $$(CPPFLAGS) $$(CFLAGS) -c -o $$@ $$<
endef

# folder of a main.c -> name of the program
program_name = $(or $(patsubst queue,queue-runner,$(filter queue,$1)),$(patsubst parse,mailstead-parse,$(filter parse,$1)),$1)
PROGRAMS = $(foreach m,$(MAINS),$(BUILD)/bin/$(call program_name,$(patsubst %/main.c,%,$m)))
UNIT_TESTS = $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
TEST_TOOLS = $(patsubst tests/tools/%.c,$(BUILD)/tests/tools/%,$(wildcard tests/tools/*.c)) \
    $(BUILD)/tests/powercut_disk $(BUILD)/tests/faults.so
FUZZERS = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

all: $(PROGRAMS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(foreach p,$(PAGES),$(eval $(call pages_rule,$p)))

$(ARCHIVE): $(OBJECTS)
	@rm -f $@
	ar qcs $@ $^

define program_rule
$(BUILD)/bin/$(call program_name,$1): $(BUILD)/$1/main.o $(ARCHIVE)
	@mkdir -p $$(@D)
	$(CC) $(LDFLAGS) -o $$@ $$< $(ARCHIVE) $(LIBS)
endef
$(foreach m,$(MAINS),$(eval $(call program_rule,$(patsubst %/main.c,%,$m))))

$(BUILD)/tests/%: $(BUILD)/tests/unit/%.o $(ARCHIVE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(ARCHIVE) $(LIBS) -lcmocka

# What tests need as a program and no user does.
$(BUILD)/tests/tools/%: $(BUILD)/tests/tools/%.o $(ARCHIVE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(ARCHIVE) $(LIBS)

$(BUILD)/tests/powercut_disk: tests/powercut/disk.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(subst -I,-isystem ,$(shell pkg-config --cflags fuse3)) \
	    $(CFLAGS) $(LDFLAGS) -o $@ $< $(shell pkg-config --libs fuse3)

$(BUILD)/tests/faults.so: tests/lib/faults.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -shared -Wall -Wextra -o $@ $<

# A fuzz target is LLVMFuzzerTestOneInput(); replay.c runs it over files, so
# that the corpus is part of every check with any compiler.
$(BUILD)/fuzz/%: $(BUILD)/tests/fuzz/%.o $(BUILD)/tests/fuzz/replay.o $(ARCHIVE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $(BUILD)/tests/fuzz/$*.o $(BUILD)/tests/fuzz/replay.o $(ARCHIVE) $(LIBS)

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(ARCHIVE)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $< $(ARCHIVE) $(LIBS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# --- targets -------------------------------------------------------------------
deps:
	@packaging/deps.sh

tests: $(UNIT_TESTS) $(TEST_TOOLS) $(FUZZERS)

check: deps
	@$(MAKE) -s -j$$(nproc) --no-print-directory all tests
	@$(PYTHON) tests/run.py --build $(BUILD) $(if $(SAN),--san $(SAN))

lint: deps
	@tests/lint.sh $(FILES)

demo: deps
	@$(MAKE) -s -j$$(nproc) --no-print-directory all
	@mailstead/demo.sh $(BUILD)

bench: deps
	@$(MAKE) --no-print-directory all
	@bench/run.sh $(BUILD)

fuzz: deps
	@tests/fuzz/run.sh

soak: deps
	@$(MAKE) --no-print-directory all tests
	@$(PYTHON) tests/soak.py --build $(BUILD)

install: all
	@packaging/install.sh "$(BUILD)" "$(DESTDIR)" "$(PREFIX)"

# The value of a variable, for the scripts that compile: make print-CPPFLAGS
print-%:
	@: $(info $($*))

clean:
	rm -rf build

.PHONY: all deps tests check lint demo bench fuzz soak install clean
.SECONDARY:
