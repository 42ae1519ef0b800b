"""Folders of videos that are indexed where they lie. Nothing below them is ever changed, but for
the one marker file that is written when a folder is adopted.
"""
