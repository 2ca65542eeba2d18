#pragma once

/// Headers that know no backend may keep their definitions in a file of their own, NAME_inl.hpp. By default NAME.hpp
/// includes it, so that headers are all there is. With GREENTRAINER_COMPILED it does not: the definitions are
/// compiled once, into the library greentrainer::io, which sets the macro for whoever links to it (CMake:
/// -DGREENTRAINER_COMPILED=ON). docs/decisions/0031-definitions-compiled-once.md
///
/// GREENTRAINER_INLINE stands in front of such definitions.
#ifdef GREENTRAINER_COMPILED
#define GREENTRAINER_INLINE
#else
#define GREENTRAINER_INLINE inline
#endif
