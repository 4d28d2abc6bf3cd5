//! The nouns of Jackfield: channels, publications, commands, events and codes.
