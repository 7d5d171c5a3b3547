"""Linq as its documentation describes it, without I/O: endpoints, types, events, rules, signatures, text."""
