//! The stock plugins, compiled to components and embedded.
