// Makes a component of index.js, for the world that is named.
import { componentize } from '@bytecodealliance/componentize-js';
import { mkdir, writeFile } from 'node:fs/promises';

const { component } = await componentize({
  sourcePath: 'index.js',
  witPath: 'wit/plugin.wit',
  worldName: process.argv[2],
  // A plugin has none of these; without them the component asks for nothing but the contract.
  disableFeatures: ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await mkdir('build', { recursive: true });
await writeFile('build/component.wasm', component);
