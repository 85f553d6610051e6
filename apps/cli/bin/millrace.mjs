#!/usr/bin/env node
/** The command `millrace`: what the build makes of `src/main.ts`. */
import '../dist/main.js';
