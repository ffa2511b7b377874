/**
 * The native addon on Node 20.
 */
import { testLine } from "./suite.js";

testLine(20);
