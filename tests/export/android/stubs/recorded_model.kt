// What both runtimes' stand-ins do: write down what they are fed, answer what PyTorch answered.
package pfd.stubs

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

object RecordedModel {
    private val folder = File(System.getProperty("pfd.answers"))
    private val samples = System.getProperty("pfd.samples").toInt()
    private var calls = 0

    fun feed(image: FloatArray) {
        val bytes = ByteBuffer.allocate(4 * image.size).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(image)
        feed(bytes.array())
    }

    fun feed(image: ByteArray) {
        File(System.getProperty("pfd.fed")).appendBytes(image)
    }

    fun run() {
        calls += 1
    }

    fun answer(index: Int): ByteBuffer {
        val all = File(folder, "reference_output_$index.bin").readBytes()
        val size = all.size / samples
        val sample = (calls - 1) % samples
        return ByteBuffer.wrap(all, sample * size, size).slice().order(ByteOrder.LITTLE_ENDIAN)
    }

    fun floats(index: Int): FloatArray {
        val buffer = answer(index).asFloatBuffer()
        return FloatArray(buffer.remaining()).also { buffer.get(it) }
    }

    fun ints(index: Int): IntArray {
        val buffer = answer(index).asIntBuffer()
        return IntArray(buffer.remaining()).also { buffer.get(it) }
    }
}
