"""Servers, clocks, tables and payments that tests share; `internals` alone reads private attributes."""
