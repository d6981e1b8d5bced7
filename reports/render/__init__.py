"""Answers as XML and CSV, and the RelaxNG schema of the XML: all three from one declaration, `shape`, over the JSON."""
